//! Every program in `pass` compiles without a warning and does what it says.

#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unused,
    rust_2018_idioms,
    unused_qualifications
)]
#![forbid(unsafe_code)]

macro_rules! programs {
    ($($name:ident)*) => {
        /// The programs.
        #[path = "../pass"]
        pub mod pass {
            pub mod support;
            $(pub mod $name;)*
        }

        fn main() {
            let listed = [$(stringify!($name)),*];
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pass");
            for file in std::fs::read_dir(folder).expect("the folder of the programs") {
                let path = file.expect("a program").path();
                let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
                assert!(name == "support" || listed.contains(&name.as_str()), "`{name}` is not listed");
            }
            $(
                pass::$name::main();
                println!("{} ... ok", stringify!($name));
            )*
        }
    };
}

programs! {
    attributes awaitables blocks conditions expressions generated kept leaving loops matches modules patterns tasks
}
