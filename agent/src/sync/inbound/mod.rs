//! What others wrote comes in, from the store and from the peers.

mod compare;
mod fetch;
pub(super) mod hand_over;
mod look;
pub(super) mod receive;
pub(super) mod take;
mod turn;
mod vanish;
