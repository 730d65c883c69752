//! A commit costs the same whether it is the first or the thousandth: counted in operations and bytes, not in time.

mod support;

use std::time::Duration;

use skein_catalog::{At, CatalogOptions, Change};
use skein_storage::fault::{Call, Op};
use support::{ada, dataset, faulty, file, new_dataset, server};

const APPENDS: usize = 1000;

fn is_checkpoint(call: &Call) -> bool {
    call.key.ends_with(".checkpoint.json")
}

#[tokio::test]
async fn the_thousandth_append_costs_what_the_first_did() {
    let (bucket, store) = faulty();
    let catalog = server(&bucket, CatalogOptions::default()).await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
    store.take_calls();
    let (mut checkpoints, mut first_bytes, mut all_bytes) = (Vec::new(), 0, 0);
    for i in 0..APPENDS {
        table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
        let (background, calls): (Vec<_>, Vec<_>) = store.take_calls().into_iter().partition(is_checkpoint);
        checkpoints.extend(background);
        assert_eq!(calls.len(), 1, "append {i}: {calls:?}");
        assert_eq!(calls[0].op, Op::Create);
        if i == 0 {
            first_bytes = calls[0].bytes;
        }
        assert!(calls[0].bytes <= first_bytes + 40, "append {i}: {} bytes, at first {first_bytes}", calls[0].bytes);
        all_bytes += calls[0].bytes;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    checkpoints.extend(store.take_calls().into_iter().filter(is_checkpoint));
    let checkpoint_bytes: u64 = checkpoints.iter().map(|c| c.bytes).sum();
    assert!(checkpoints.len() <= APPENDS / 50, "{}", checkpoints.len());
    assert!(checkpoint_bytes <= 10 * all_bytes, "{checkpoint_bytes} bytes of checkpoints, {all_bytes} of versions");

    let snapshot = table.snapshot(At::Latest).await.unwrap();
    assert_eq!(snapshot.rows, APPENDS as u64 + 1);
    assert_eq!(store.take_calls().len(), 1, "looking for news is one question");
}

#[tokio::test]
async fn a_cold_start_reads_the_last_checkpoint_and_what_came_after() {
    let (bucket, store) = faulty();
    let options = || CatalogOptions { checkpoint_every: 20, ..CatalogOptions::default() };
    let catalog = server(&bucket, options()).await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    for _ in 0..99 {
        table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let cold = dataset(&server(&bucket, options()).await, "t").await;
    store.take_calls();
    assert_eq!(cold.snapshot(At::Latest).await.unwrap().rows, 99);
    let calls = store.take_calls();
    assert_eq!(calls.iter().filter(|c| is_checkpoint(c)).count(), 1);
    assert!(calls.len() <= 24, "one listing, one checkpoint, at most 20 versions, one look for more: {}", calls.len());
}
