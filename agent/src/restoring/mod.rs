//! Restores that somebody else orders: each is a run of this program's own command `restore`, as a person would start it in the pod.
//! One runs at a time, and all that is kept of one is bounded. Pure are `order` (what is asked for), `line` (what the command says
//! with `-o json`) and `account` (what came of it); `restorer` runs the command,
//! and `ledger` has what is done in a file.

mod account;
mod ledger;
mod line;
mod order;
mod restorer;

pub use account::{Account, State};
pub use line::{Done, Failure, Line, Plan, Reason};
pub use order::Order;
pub use restorer::{Limits, Restorer};
