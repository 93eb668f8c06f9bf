//! The store on real SQLite files and on a real PostgreSQL server.

/// Tests that hold for every database: functions of a `Deployment`.
macro_rules! on_each {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    super::$test(crate::deployment::Deployment::new()).await;
                }
            )*
        }

        mod postgresql {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    super::$test(crate::deployment::Deployment::postgresql()).await;
                }
            )*
        }
    };
}

mod audit;
mod deployment;
mod fixture;
mod forged;
mod identities;
mod killed;
mod lifecycle;
mod memory;
mod opening;
mod pinned;
mod postgres;
mod recipients;
mod silence;
mod swapped;
mod tampering;
mod together;
mod trusted;
