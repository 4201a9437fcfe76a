//! Why a workflow stops before its end.

#[derive(Debug)]
pub enum Halt {
    Described,
    NoInput,
    NoSuchPoint,
    Undecodable(String),
}

impl Halt {
    pub fn described() -> Self {
        Halt::Described
    }

    pub fn no_input() -> Self {
        Halt::NoInput
    }

    pub fn no_such_point() -> Self {
        Halt::NoSuchPoint
    }
}
