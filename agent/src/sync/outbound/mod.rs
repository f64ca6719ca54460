//! What was written here goes to the peers and to the store.

mod adopt;
mod cut;
mod own_writes;
mod store;
mod tell;
