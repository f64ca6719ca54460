//! What others wrote comes in, from the store and from the peers.

mod compare;
mod early;
mod fetch;
pub(super) mod hand_over;
mod look;
pub(super) mod receive;
pub(super) mod take;
mod told;
mod turn;
mod vanish;
