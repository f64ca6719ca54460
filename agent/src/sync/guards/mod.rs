//! What keeps a replica from doing harm: by its schema, its name, its clock, and after it was away.

mod clock;
pub(super) mod contain;
mod deletions;
mod hold;
mod recall;
mod refill;
mod schema;
mod set_back;
