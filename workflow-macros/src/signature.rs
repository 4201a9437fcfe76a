//! What both macros check of a function's signature.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, ItemFn, Pat, ReturnType, Safety, Type, parse_quote};

use crate::diag::Diagnostics;

/// Whether this is a method: items for it cannot be emitted inside of an `impl` block.
pub(crate) fn is_method(function: &ItemFn) -> bool {
    function.sig.receiver().is_some()
}

/// The function under an attribute; what stands there instead comes back beside the error.
pub(crate) fn function(item: &TokenStream, what: &str) -> Result<ItemFn, TokenStream> {
    syn::parse2(item.clone()).map_err(|error| {
        let mut diagnostics = Diagnostics::default();
        diagnostics.error(
            error.span(),
            "W0007",
            format!("`#[{what}]` can only stand on an `async fn`: {error}"),
            "put it on a free async function",
        );
        let errors = diagnostics.into_tokens();
        quote!(#errors #item)
    })
}

/// Checks everything but the parameters' types.
pub(crate) fn check(function: &ItemFn, what: &str, must_be_async: bool, diagnostics: &mut Diagnostics) {
    let sig = &function.sig;
    if must_be_async && sig.asyncness.is_none() {
        diagnostics.error(
            sig.fn_token.span,
            "W0001",
            format!("a {what} must be an `async fn`"),
            &if what == "task" {
                "write `async fn`; a task that blocks its thread can be a plain `fn` under `#[task(blocking)]`".to_owned()
            } else {
                "write `async fn`: each `.await` in it becomes a durable step".to_owned()
            },
        );
    }
    if let Some(param) = sig.generics.params.first() {
        diagnostics.error(
            param.span(),
            "W0002",
            format!("a {what} cannot be generic: the stored state must belong to one type"),
            "use concrete types, or an enum of the types that occur",
        );
    } else if let Some(clause) = &sig.generics.where_clause {
        diagnostics.error(
            clause.where_token.span,
            "W0002",
            format!("a {what} cannot have a where clause"),
            "use concrete types",
        );
    }
    if let Some(receiver) = sig.receiver() {
        diagnostics.error(
            receiver.self_token.span,
            "W0003",
            format!("a {what} must be a free function: `self` would have to be stored"),
            if what == "task" {
                "move it out of the `impl` block; take a dependency as `State(x): State<T>` and data as ordinary arguments"
            } else {
                "move it out of the `impl` block and take the data as ordinary arguments; tasks take dependencies as \
                 `State(x): State<T>`"
            },
        );
    }
    let refused = [
        sig.constness.as_ref().map(|token| (token.span, "const")),
        match &sig.safety {
            Safety::Unsafe(token) => Some((token.span, "unsafe")),
            Safety::Safe(token) => Some((token.span, "safe")),
            _ => None,
        },
        sig.abi.as_ref().map(|abi| (abi.extern_token.span, "extern")),
        sig.variadic
            .as_ref()
            .map(|variadic| (variadic.dots.spans[0], "variadic")),
    ];
    for (span, keyword) in refused.into_iter().flatten() {
        diagnostics.error(
            span,
            "W0004",
            format!("a {what} cannot be `{keyword}`: the runtime calls it, also after a restart"),
            &format!("remove `{keyword}`, or wrap such a function in a plain {what}"),
        );
    }
    if let ReturnType::Type(_, ty) = &sig.output
        && let Some(span) = find_impl(ty)
    {
        diagnostics.error(
            span,
            "W0005",
            format!(
                "a {what} cannot return `impl Trait`: its output is stored, so its type must have a name"
            ),
            "write the concrete type",
        );
    } else if let ReturnType::Type(_, ty) = &sig.output
        && let Some(span) = find_reference(ty)
    {
        diagnostics.error(
            span,
            "W0024",
            format!("a {what} cannot return `{}`: its output is stored", show(ty)),
            "return what it refers to by value: `String` for `&str`, `Vec<T>` for `&[T]`, `T` for `&T`",
        );
    }
    for arg in &sig.inputs {
        if let FnArg::Typed(arg) = arg
            && let Some(span) = find_impl(&arg.ty)
        {
            diagnostics.error(
                span,
                "W0006",
                format!(
                    "a {what} cannot take `impl Trait`: its input is stored, so its type must have a name"
                ),
                "write the concrete type",
            );
        }
    }
}

/// The first `impl Trait` inside a type.
pub(crate) fn find_impl(ty: &Type) -> Option<proc_macro2::Span> {
    struct Finder(Option<proc_macro2::Span>);
    impl<'ast> syn::visit::Visit<'ast> for Finder {
        fn visit_type_impl_trait(&mut self, ty: &'ast syn::TypeImplTrait) {
            self.0.get_or_insert(ty.impl_token.span);
        }
    }
    let mut finder = Finder(None);
    syn::visit::Visit::visit_type(&mut finder, ty);
    finder.0
}

/// The output type, `()` when none is written.
pub(crate) fn output(function: &ItemFn) -> Type {
    match &function.sig.output {
        ReturnType::Default => parse_quote!(()),
        ReturnType::Type(_, ty) => (**ty).clone(),
    }
}

/// The name of the input's field for a parameter: its own, or `argument1` for a pattern.
pub(crate) fn field(pat: &Pat, index: usize) -> Ident {
    match pat {
        Pat::Ident(pat) if pat.subpat.is_none() && pat.by_ref.is_none() => pat.ident.clone(),
        pat => Ident::new(&format!("argument{}", index + 1), pat.span()),
    }
}

/// The first reference or lifetime inside a type.
pub(crate) fn find_reference(ty: &Type) -> Option<proc_macro2::Span> {
    struct Finder(Option<proc_macro2::Span>);
    impl<'ast> syn::visit::Visit<'ast> for Finder {
        fn visit_type_reference(&mut self, ty: &'ast syn::TypeReference) {
            self.0.get_or_insert(ty.and_token.spans[0]);
        }
        fn visit_lifetime(&mut self, lifetime: &'ast syn::Lifetime) {
            self.0.get_or_insert(lifetime.span());
        }
        fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {}
    }
    let mut finder = Finder(None);
    syn::visit::Visit::visit_type(&mut finder, ty);
    finder.0
}

/// How a type reads in a message.
pub(crate) fn show(ty: &Type) -> String {
    let text = ty.to_token_stream().to_string();
    text.replace(" < ", "<")
        .replace(" > ", ">")
        .replace(" >", ">")
        .replace("& ", "&")
        .replace(" :: ", "::")
        .replace(" ,", ",")
}

/// The user's attributes, by where they belong.
pub(crate) struct Attributes {
    /// For the function that makes a call.
    pub(crate) call: Vec<Attribute>,
    /// For the function as it was written.
    pub(crate) code: Vec<Attribute>,
    /// Lints that the user allows, for other generated code.
    pub(crate) allowed: Vec<Attribute>,
}

/// Sorts a function's attributes. An `#[expect]` stays with the code only: elsewhere the lint may not come up, so it is
/// allowed there.
pub(crate) fn attributes(attrs: &[Attribute]) -> Attributes {
    let mut sorted = Attributes {
        call: Vec::new(),
        code: Vec::new(),
        allowed: Vec::new(),
    };
    for attr in attrs {
        let is = |names: &[&str]| names.iter().any(|name| attr.path().is_ident(name));
        if is(&["doc", "deprecated", "must_use"]) {
            sorted.call.push(attr.clone());
        } else if is(&["allow", "expect"]) {
            let mut allowed = attr.clone();
            if let syn::Meta::List(list) = &mut allowed.meta {
                list.path = Ident::new("allow", list.path.span()).into();
            }
            sorted.call.push(allowed.clone());
            sorted.allowed.push(allowed);
            sorted.code.push(attr.clone());
        } else {
            sorted.code.push(attr.clone());
        }
    }
    sorted
}
