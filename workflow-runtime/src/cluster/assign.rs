//! Who should have which shard: a pure function of who is there and who has what, so that all nodes come to the same
//! answer from the same records.

use std::collections::BTreeMap;

/// The node that each shard should belong to. `holders` are the nodes that have the shards now (`None`: nobody who is to
/// keep it); `nodes` those that may have some. As few shards as possible change hands.
pub(super) fn targets(holders: &[Option<u64>], nodes: &[u64]) -> Vec<Option<u64>> {
    if nodes.is_empty() {
        return vec![None; holders.len()];
    }
    let mut counts: BTreeMap<u64, usize> = nodes.iter().map(|node| (*node, 0)).collect();
    for holder in holders.iter().flatten() {
        if let Some(count) = counts.get_mut(holder) {
            *count += 1;
        }
    }
    // Those that have most keep one more where the shards do not divide evenly.
    let mut order: Vec<(u64, usize)> = counts.into_iter().collect();
    order.sort_by_key(|(node, count)| (std::cmp::Reverse(*count), *node));
    let (each, extra) = (holders.len() / order.len(), holders.len() % order.len());
    let mut room: BTreeMap<u64, usize> = order
        .iter()
        .enumerate()
        .map(|(place, (node, _))| (*node, each + usize::from(place < extra)))
        .collect();
    let mut targets: Vec<Option<u64>> = holders
        .iter()
        .map(|holder| {
            let place = room.get_mut(holder.as_ref()?)?;
            *place = place.checked_sub(1)?;
            *holder
        })
        .collect();
    // What is left goes to whoever has most room.
    for target in targets.iter_mut().filter(|target| target.is_none()) {
        let widest = room
            .iter_mut()
            .max_by_key(|(node, room)| (**room, std::cmp::Reverse(**node)));
        if let Some((node, room)) = widest
            && *room > 0
        {
            *room -= 1;
            *target = Some(*node);
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(targets: &[Option<u64>]) -> Vec<usize> {
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for target in targets.iter().flatten() {
            *counts.entry(*target).or_default() += 1;
        }
        counts.into_values().collect()
    }

    fn moved(before: &[Option<u64>], after: &[Option<u64>]) -> usize {
        before.iter().zip(after).filter(|(a, b)| a != b).count()
    }

    #[test]
    fn shards_are_spread_evenly_and_stay_where_they_are() {
        let none = vec![None; 64];
        let one = targets(&none, &[7]);
        assert_eq!(counts(&one), [64]);
        let two = targets(&one, &[7, 9]);
        assert_eq!((counts(&two), moved(&one, &two)), (vec![32, 32], 32));
        let three = targets(&two, &[7, 9, 12]);
        assert_eq!(counts(&three), [22, 21, 21]);
        assert_eq!(moved(&two, &three), 21);
        assert_eq!(
            targets(&three, &[7, 9, 12]),
            three,
            "nothing changes when nothing has to"
        );
        // Node 9 is gone: only its shards move.
        let holders: Vec<_> = three
            .iter()
            .map(|holder| holder.filter(|node| *node != 9))
            .collect();
        let left = targets(&holders, &[7, 12]);
        assert_eq!((counts(&left), moved(&three, &left)), (vec![32, 32], 21));
    }

    #[test]
    fn more_nodes_than_shards_and_no_nodes() {
        let nodes: Vec<u64> = (1..=10).collect();
        let few = targets(&[None; 4], &nodes);
        assert_eq!(counts(&few), [1, 1, 1, 1]);
        assert_eq!(targets(&few, &nodes), few);
        assert_eq!(targets(&[Some(1), None], &[]), [None, None]);
    }

    #[test]
    fn one_round_is_enough_wherever_it_begins() {
        let mut random = 1u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        for _ in 0..500 {
            let nodes: Vec<u64> = (1..=1 + next(9)).collect();
            let holders: Vec<Option<u64>> = (0..64)
                .map(|_| Some(next(12)).filter(|holder| nodes.contains(holder)))
                .collect();
            let after = targets(&holders, &nodes);
            assert!(after.iter().all(Option::is_some));
            let (least, most) = (counts(&after).into_iter().min(), counts(&after).into_iter().max());
            assert!(most.unwrap_or(0) - least.unwrap_or(0) <= 1);
            assert_eq!(targets(&after, &nodes), after);
        }
    }
}
