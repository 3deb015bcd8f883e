//! The moved clock alone: who is woken when, and what is waited for.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::task::LocalSet;

use super::*;

type Log = Rc<RefCell<Vec<String>>>;

fn at(boot_ms: u64) -> Stamp {
    Stamp::new(boot_ms, 0, 0)
}

/// A clock that lives as long as the tests do.
fn leaked() -> &'static VirtualTime {
    Box::leak(Box::new(VirtualTime::new(at(1000))))
}

fn note(log: &Log, what: impl Into<String>) {
    log.borrow_mut().push(what.into());
}

/// Sleeps again and again for `every` and notes the moments.
fn ticker(time: &'static VirtualTime, log: &Log, name: &'static str, every: u64) {
    let log = Rc::clone(log);
    tokio::task::spawn_local(async move {
        loop {
            time.sleep(Duration::from_millis(every)).await;
            note(&log, format!("{name} {}", time.now().boot_ms));
        }
    });
}

#[tokio::test]
async fn nobody_wakes_before_the_clock_is_moved() {
    let time = leaked();
    let log = Log::default();
    let local = LocalSet::new();
    local
        .run_until(async {
            ticker(time, &log, "a", 10);
            time.advance(at(1000)).await;
            assert_eq!(time.next_wake(), Some(1010));
            time.advance(at(1009)).await;
            assert!(log.borrow().is_empty());
            time.advance(at(1010)).await;
            assert_eq!(*log.borrow(), ["a 1010"]);
            assert_eq!(time.next_wake(), Some(1020));
        })
        .await;
}

#[tokio::test]
async fn sleepers_wake_in_the_order_of_their_moments_and_then_of_their_falling_asleep() {
    for _ in 0..20 {
        let time = leaked();
        let log = Log::default();
        let local = LocalSet::new();
        local
            .run_until(async {
                for (name, every) in [("a", 30), ("b", 10), ("c", 30)] {
                    ticker(time, &log, name, every);
                }
                time.advance(at(1000)).await;
                time.advance(at(1030)).await;
                assert_eq!(*log.borrow(), ["b 1030", "a 1030", "c 1030"]);
            })
            .await;
    }
}

#[tokio::test]
async fn a_sleeper_that_is_dropped_is_forgotten() {
    let time = leaked();
    let long = tokio::time::timeout(Duration::ZERO, time.sleep(Duration::from_secs(5)));
    assert!(long.await.is_err());
    assert_eq!(time.next_wake(), None);
}

#[tokio::test]
async fn the_clock_waits_for_work_in_the_real_world_and_for_what_that_leads_to() {
    let time = leaked();
    let log = Log::default();
    let local = LocalSet::new();
    local
        .run_until(async {
            let (send, mut receive) = tokio::sync::mpsc::channel::<u32>(4);
            let told = Rc::clone(&log);
            tokio::task::spawn_local(async move {
                while let Some(number) = receive.recv().await {
                    note(&told, format!("got {number}"));
                    if number == 1 {
                        let (mut more, log) = (time.work(), Rc::clone(&told));
                        tokio::task::spawn_local(async move {
                            more.begin().await;
                            tokio::time::sleep(Duration::from_millis(2)).await;
                            note(&log, "done more");
                        });
                    }
                }
            });
            for number in [1, 2] {
                let (mut work, send) = (time.work(), send.clone());
                tokio::task::spawn_local(async move {
                    work.begin().await;
                    // The second is quicker, and still has to wait for its turn.
                    tokio::time::sleep(Duration::from_millis(6 / number)).await;
                    send.send(u32::try_from(number).unwrap()).await.unwrap();
                });
            }
            time.advance(at(1000)).await;
            assert_eq!(*log.borrow(), ["got 1", "got 2", "done more"]);
        })
        .await;
}

#[test]
fn an_ordinary_process_has_no_virtual_time() {
    assert!(get().is_none());
}
