//! What becomes of objects, as S3 itself shows it: emptying a bucket before it is
//! deleted, and what keys can and can't do with what others have written.

mod emptying;
mod immutable;
mod site;
mod stand_in;
