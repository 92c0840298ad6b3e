//! Which member of an ordered channel reads which shard: worked out by each member for itself, and the same by all that
//! know of the same members.

/// The member of each shard, as a place in `members`. Every member has as many as another, or one more. A member that
/// comes or goes moves few shards between the others.
pub(super) fn plan(members: &[u64], shards: u16) -> Vec<usize> {
    if members.is_empty() {
        return Vec::new();
    }
    let share = usize::from(shards) / members.len();
    // So many members have one more.
    let mut more = usize::from(shards) % members.len();
    let mut loads = vec![0; members.len()];
    let mut owners = Vec::with_capacity(shards.into());
    for shard in 0..shards {
        let has_room = |place: &usize| loads[*place] < share || (loads[*place] == share && more > 0);
        let weight = |place: &usize| (mix(members[*place], shard), members[*place]);
        let Some(owner) = (0..members.len()).filter(has_room).max_by_key(weight) else { break };
        if loads[owner] == share {
            more -= 1;
        }
        loads[owner] += 1;
        owners.push(owner);
    }
    owners
}

/// The shards of one member.
pub(super) fn shards_of(me: u64, members: &[u64], shards: u16) -> Vec<u16> {
    let mine = |owner: &usize| members[*owner] == me;
    (0..shards).zip(plan(members, shards)).filter(|(_, owner)| mine(owner)).map(|(shard, _)| shard).collect()
}

/// How much this member is the one for this shard: a number that looks random, the same everywhere.
fn mix(member: u64, shard: u16) -> u64 {
    let mut bits = member ^ u64::from(shard).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn members() -> impl Strategy<Value = Vec<u64>> {
        proptest::collection::btree_set(any::<u64>(), 1..20).prop_map(|all: BTreeSet<u64>| all.into_iter().collect())
    }

    proptest! {
        #[test]
        fn every_shard_has_one_member_and_members_have_alike(members in members(), shards in 1..200u16) {
            let mut taken = vec![0; shards.into()];
            let mut loads = Vec::new();
            for member in &members {
                let mine = shards_of(*member, &members, shards);
                mine.iter().for_each(|shard| taken[usize::from(*shard)] += 1);
                loads.push(mine.len());
            }
            prop_assert!(taken.iter().all(|members| *members == 1), "{taken:?}");
            let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
            prop_assert!(most - least <= 1, "{loads:?}");
        }

        #[test]
        fn the_order_in_which_members_are_known_is_no_matter(members in members(), shards in 1..50u16, by in 0..20usize) {
            let mut turned = members.clone();
            turned.rotate_left(by % members.len());
            for member in &members {
                prop_assert_eq!(shards_of(*member, &members, shards), shards_of(*member, &turned, shards));
            }
        }

        #[test]
        fn one_that_comes_takes_a_share_and_the_others_keep_most(members in members(), new in any::<u64>()) {
            prop_assume!(!members.contains(&new));
            const SHARDS: u16 = 240;
            let mut all = members.clone();
            all.push(new);
            let (before, after) = (plan(&members, SHARDS), plan(&all, SHARDS));
            let moved = before.iter().zip(&after).filter(|(old, new)| old != new).count();
            let share = usize::from(SHARDS) / all.len();
            // At the least its share moves; a plan that shuffles moves nearly all.
            prop_assert!(moved <= share + 40, "{moved} moved, a share is {share}");
        }
    }

    #[test]
    fn two_members_have_half_each_and_nobody_has_nothing_to_plan() {
        assert_eq!(shards_of(1, &[1, 2], 8).len(), 4);
        assert_eq!(shards_of(7, &[7], 3), [0, 1, 2]);
        assert!(plan(&[], 8).is_empty());
    }
}
