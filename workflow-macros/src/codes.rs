//! Every error code with its short title. Each code stands for one rule and has a page, `docs/errors/<code>.md`.

/// Code and title, in order.
pub(crate) const CODES: &[(&str, &str)] = &[
    ("W0001", "not an async function"),
    ("W0002", "generic task or workflow"),
    ("W0003", "method instead of a free function"),
    ("W0004", "`const`, `unsafe`, `extern` or variadic function"),
    ("W0005", "`impl Trait` as output"),
    ("W0006", "`impl Trait` as argument"),
    ("W0007", "attribute on something that is not a function"),
    ("W0008", "workflow argument that borrows"),
    ("W0009", "task argument that cannot be stored"),
    ("W0010", "await inside a closure"),
    ("W0011", "await inside an async closure with an output type"),
    ("W0012", "await inside an unknown macro"),
    ("W0013", "await inside a match guard"),
    ("W0014", "await inside an unsafe block"),
    (
        "W0015",
        "await inside a message that is evaluated on failure only",
    ),
    ("W0016", "await inside a const block"),
    ("W0017", "`yield`"),
    ("W0018", "`try` block"),
    ("W0019", "jump that leads nowhere"),
    ("W0020", "malformed `#[point]`"),
    ("W0021", "`#[point]` without an await"),
    ("W0022", "two points of one name"),
    ("W0023", "`#[point]` with several awaits"),
    ("W0024", "output that borrows"),
    ("W0025", "task context by value or by mutable reference"),
    ("W0026", "message that is not a struct or enum"),
    ("W0027", "generic message"),
    ("W0028", "update without the type of its reply"),
    ("W0030", "await inside an unsupported expression"),
    ("W0031", "unreadable `join!`, `try_join!` or `select!`"),
    ("W0032", "too few or too many operations at once"),
    ("W0033", "await inside `join!`, `try_join!` or `select!`"),
    ("W0034", "receive without a type"),
    ("W0035", "unreadable `publish!`"),
    ("W0036", "change of an outer variable in an `async` block"),
    ("W0050", "unreadable arguments of an attribute"),
    ("W0051", "unknown key in an attribute"),
    ("W0052", "key given twice in an attribute"),
    ("W0053", "malformed value in an attribute"),
    ("W0054", "invalid stored name"),
    ("W0055", "unknown backoff"),
    ("W0056", "invalid duration"),
    ("W0057", "keys of an attribute that contradict each other"),
];

/// Whether the code is listed.
pub(crate) fn known(code: &str) -> bool {
    CODES.iter().any(|(known, _)| *known == code)
}
