//! Every rule of the schema refuses what it should, with a message that says the remedy.

#[cfg(test)]
mod credentials;
#[cfg(test)]
mod expose;
#[cfg(test)]
mod helpers;
#[cfg(test)]
mod object_store;
#[cfg(test)]
mod restore;
#[cfg(test)]
mod servers;
