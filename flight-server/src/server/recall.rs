//! How well the indexes that are searched answer, measured now and then and exported as a metric.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::State;

/// Measures each index that is in memory once in an interval, until `stop`; never without one.
pub(super) async fn run(state: Arc<State>, interval: Option<Duration>, stop: CancellationToken) {
    let Some(interval) = interval else { return };
    loop {
        // Not all servers at the same moment.
        let pause = interval.mul_f64(rand::random_range(0.75..1.25));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = measure(&state) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn measure(state: &State) {
    let indexes = match state.engine.searched_indexes().await {
        Ok(indexes) => indexes,
        Err(error) => return tracing::warn!(%error, "the recall of indexes cannot be measured"),
    };
    for index in indexes {
        match state.engine.sampled_recall(&index, rand::random()).await {
            Ok(Some(recall)) => state.metrics.index_recall(&index.to_string(), recall),
            Ok(None) => {}
            Err(error) => tracing::warn!(%index, %error, "the recall of an index cannot be measured"),
        }
    }
}
