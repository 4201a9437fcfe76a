//! Every construct of the language with awaits in it: what a workflow does, crashed at each commit, is what the same
//! text does as a plain async function.

mod branches;
mod loops;
mod patterns;
mod places;
mod values;
