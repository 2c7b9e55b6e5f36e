"""Which tags a repository keeps. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from kokiris.registry.model import RetentionRule
from kokiris.registry.scopes import matches
from kokiris.registry.storage import Repository


def rule_for(repository: str, rules: Sequence[RetentionRule]) -> RetentionRule | None:
    """The first that matches."""
    return next((rule for rule in rules if matches(rule.Repository, repository)), None)


def tags_to_delete(
    repository: Repository, rules: Sequence[RetentionRule], used_tags: Collection[str], used_digests: Collection[str]
) -> list[str]:
    """Tags beyond the newest `KeepLast`, oldest first, without those that a job uses by name or by digest.

    Newest is what was pushed last; of the same time, the greater name. Without a rule, everything stays.
    """
    rule = rule_for(repository.name, rules)
    if rule is None:
        return []
    ordered = sorted(repository.tags, key=lambda tag: (repository.tagged_at.get(tag, 0.0), tag), reverse=True)
    surplus = [
        tag for tag in ordered[rule.KeepLast :] if tag not in used_tags and repository.tags[tag] not in used_digests
    ]
    return list(reversed(surplus))
