//! What is done in transactions of a database. It knows no replica.

pub(super) mod ahead;
pub(super) mod collect;
pub(super) mod differences;
pub(super) mod dump;
pub(super) mod fill;
pub(super) mod load;
pub(super) mod loss;
pub(super) mod lost;
pub(super) mod quarantine;
pub(super) mod set_back;
pub(super) mod settle;
pub(super) mod sweeper;
