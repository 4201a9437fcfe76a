//! Every construct of the language with awaits in it.

twin! {
    async fn sequence(n: i64) -> i64 {
        let a = inc(n).await;
        let b = add(a, n).await;
        a + b
    }
    sequence(3)
}

twin! {
    async fn option_is_taken_before_the_await(n: i64) -> (Option<i64>, i64) {
        let mut o = find(n).await;
        let pair = (o, { o.take(); inc(n).await });
        pair
    }
    option_is_taken_before_the_await(4)
}
