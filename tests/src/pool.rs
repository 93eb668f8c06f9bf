//! Things that are costly to start, each used by one test at a time, and then
//! by the next one.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// A pool; make it a static, so that its things live as long as the process.
#[derive(Debug)]
pub struct Pool<T> {
    free: Mutex<Vec<T>>,
    make: fn() -> T,
}

impl<T> Pool<T> {
    /// A pool that makes what it doesn't have.
    pub const fn new(make: fn() -> T) -> Self {
        let free = Mutex::new(Vec::new());
        Self { free, make }
    }

    /// A thing that is nobody else's until the lease is dropped.
    pub fn lease(&'static self) -> Lease<T> {
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Lease {
            pool: self,
            thing: Some(free.unwrap_or_else(self.make)),
        }
    }
}

/// The right to use a thing of a pool.
#[derive(Debug)]
pub struct Lease<T: 'static> {
    pool: &'static Pool<T>,
    thing: Option<T>,
}

impl<T> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.thing.as_ref().expect("it is there until the drop")
    }
}

impl<T> DerefMut for Lease<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.thing.as_mut().expect("it is there until the drop")
    }
}

impl<T> Drop for Lease<T> {
    fn drop(&mut self) {
        // Who knows what a test that failed has left on it.
        if std::thread::panicking() {
            return;
        }
        let mut free = self
            .pool
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        free.extend(self.thing.take());
    }
}
