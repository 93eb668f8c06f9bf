//! What we make of buckets, as S3 and browsers see it.

mod bucket;
mod names;
mod site;
