async fn count(pool: &sqlx::PgPool) -> sqlx::Result<i64> {
    Ok(sqlx::query_scalar!("select count(*) as \"count!\" from notes").fetch_one(pool).await?)
}

fn main() {}
