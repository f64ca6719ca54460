//! An agent below its supervisor, as in a pod: what ends or stops one of the three processes, or crowds their listeners, takes
//! no answer away that can still be given.

mod ends;
mod pod;
mod powerdns;
mod strangers;
