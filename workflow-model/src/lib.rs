//! Plain data shared by every part of the workflow system.

pub mod codec;
