//! Which checks apply: what the profile declares decides, and nothing else.

use pontoon_core::{Capabilities, ChannelKind, Level};

use crate::checks::Need;
use crate::harness::{Control, Profile};

/// Why a check with these needs does not apply; `None` when it does. A need that is declared is never a reason.
#[must_use]
pub fn why_not(
    needs: &[Need],
    profile: &Profile,
    capabilities: &Capabilities,
    control: &dyn Control,
) -> Option<String> {
    needs.iter().find_map(|need| match *need {
        Need::Has(capability) => {
            (capabilities.level(capability) == Level::Absent).then(|| format!("{capability} is absent"))
        }
        Need::Kind(kind) => (profile.kind != kind).then(|| {
            match profile.kind {
                ChannelKind::Queue => "the profile is a queue",
                ChannelKind::Topic => "the profile is a topic",
            }
            .to_owned()
        }),
        Need::Control(kind) => (!control.offers(kind)).then(|| format!("broker control is absent: {kind}")),
        Need::SilenceBound => control
            .silence_noticed_within()
            .is_none()
            .then(|| "no bound is declared within which silence is noticed".to_owned()),
        Need::LargestBody => capabilities.limits.max_body.is_none().then(|| "it declares no largest body".to_owned()),
        Need::Room => profile.room.is_none().then(|| "no bound of a channel is known".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{HarmKind, NoControl};
    use pontoon_core::Capability;

    #[test]
    fn only_what_is_absent_is_a_reason() {
        let profile = Profile::new("p", ChannelKind::Queue);
        let poor = Capabilities::new("p");
        let rich = poor.clone().with(Capability::Priority, Level::Volatile);
        let why = |needs: &[Need], capabilities| why_not(needs, &profile, capabilities, &NoControl);
        assert_eq!(why(&[], &poor), None);
        assert_eq!(why(&[Need::Has(Capability::Priority)], &poor).as_deref(), Some("priority is absent"));
        assert_eq!(why(&[Need::Has(Capability::Priority)], &rich), None, "volatile is declared");
        assert_eq!(why(&[Need::Kind(ChannelKind::Queue)], &poor), None);
        assert_eq!(why(&[Need::Kind(ChannelKind::Topic)], &poor).as_deref(), Some("the profile is a queue"));
        assert_eq!(
            why(&[Need::Control(HarmKind::Restart)], &poor).as_deref(),
            Some("broker control is absent: restart")
        );
    }
}
