"""Router: one match in a table of 212 routes shaped like GitHub's REST API, without what the call from Python costs.

Each round matches 1,000 times in C (Router.match_often), so the times shown are thousandths: microseconds read as
nanoseconds a match.
"""

from __future__ import annotations

import pytest

from siphon_http._core.pattern import parse_pattern
from siphon_http._core.router import Router

TIMES = 1_000

REPOSITORY = """
assignees assignees/{who} branches branches/{branch} branches/{branch}/protection branches/{branch}/rename
check-runs check-runs/{id} check-runs/{id}/annotations check-suites check-suites/{id} check-suites/{id}/check-runs
codes/{code} collaborators collaborators/{who} collaborators/{who}/permission comments comments/{id}
comments/{id}/reactions comments/{id}/reactions/{reaction} commits commits/{sha} commits/{sha}/comments
commits/{sha}/pulls commits/{sha}/status compare/{range} contents/{*path} contributors deployments deployments/{id}
deployments/{id}/statuses deployments/{id}/statuses/{status} dispatches environments environments/{name} events forks
git/blobs git/blobs/{sha} git/commits git/commits/{sha} git/ref/{*ref} git/refs git/refs/{*ref} git/tags git/tags/{sha}
git/trees git/trees/{sha} hooks hooks/{id} hooks/{id}/pings hooks/{id}/tests invitations invitations/{id} issues
issues/{number} issues/{number}/assignees issues/{number}/comments issues/{number}/events issues/{number}/labels
issues/{number}/labels/{label} issues/{number}/lock issues/{number}/timeline issues/comments issues/comments/{id}
issues/events issues/events/{id} keys keys/{id} labels labels/{label} languages license merges milestones
milestones/{number} milestones/{number}/labels notifications pages pages/builds pages/builds/latest pages/builds/{id}
pulls pulls/{number} pulls/{number}/comments pulls/{number}/commits pulls/{number}/files pulls/{number}/merge
pulls/{number}/requested_reviewers pulls/{number}/reviews pulls/{number}/reviews/{id}
pulls/{number}/reviews/{id}/comments pulls/{number}/reviews/{id}/events pulls/comments pulls/comments/{id} readme
releases releases/latest releases/tags/{tag} releases/{id} releases/{id}/assets releases/assets/{id} stargazers
stats/code_frequency stats/commit_activity stats/contributors stats/participation stats/punch_card statuses/{sha}
subscribers subscription tags tarball/{*ref} teams topics traffic/clones traffic/popular/paths traffic/views transfer
zipball/{*ref}
"""
OTHERS = """
app app/hook/config app/installations app/installations/{id} applications/{client}/grant applications/{client}/token
emojis events feeds gists gists/public gists/starred gists/{id} gists/{id}/comments gists/{id}/comments/{comment}
gists/{id}/commits gists/{id}/forks gists/{id}/star gists/{id}/{sha} gitignore/templates gitignore/templates/{name}
issues licenses licenses/{name} markdown markdown/raw meta networks/{owner}/{repo}/events notifications
notifications/threads/{id} notifications/threads/{id}/subscription organizations orgs/{org} orgs/{org}/blocks
orgs/{org}/blocks/{who} orgs/{org}/events orgs/{org}/hooks orgs/{org}/hooks/{id} orgs/{org}/invitations
orgs/{org}/issues orgs/{org}/members orgs/{org}/members/{who} orgs/{org}/memberships/{who} orgs/{org}/projects
orgs/{org}/public_members orgs/{org}/repos orgs/{org}/teams orgs/{org}/teams/{team} orgs/{org}/teams/{team}/members
orgs/{org}/teams/{team}/repos orgs/{org}/teams/{team}/repos/{owner}/{repo} rate_limit repositories repos/{owner}/{repo}
search/code search/commits search/issues search/labels search/repositories search/topics search/users user user/blocks
user/emails user/followers user/following user/following/{who} user/gpg_keys user/gpg_keys/{id} user/issues user/keys
user/keys/{id} user/orgs user/repos user/starred user/starred/{owner}/{repo} user/subscriptions user/teams users
users/{who} users/{who}/events users/{who}/events/public users/{who}/followers users/{who}/following
users/{who}/following/{target} users/{who}/gists users/{who}/keys users/{who}/orgs users/{who}/repos
users/{who}/starred users/{who}/subscriptions zen
"""
PATTERNS = [f"/{p}" for p in OTHERS.split()] + [f"/repos/{{owner}}/{{repo}}/{p}" for p in REPOSITORY.split()]

LOOKUPS = {
    "static_short": b"/zen",
    "static": b"/user/emails",
    "static_long": b"/notifications",
    "one_parameter": b"/users/octocat",
    "one_parameter_deep": b"/orgs/siphon/members",
    "three_parameters": b"/repos/octocat/hello-world/issues/1347",
    "four_parameters": b"/repos/octocat/hello-world/pulls/1347/reviews/80",
    "catch_all": b"/repos/octocat/hello-world/contents/docs/guide/index.md",
    "back_from_static": b"/repos/octocat/hello-world/releases/latest2",
}
MISSES = {
    "miss_at_once": b"/wp-login.php",
    "miss_deep": b"/repos/octocat/hello-world/issues/1347/nothing",
}


@pytest.fixture(scope="module")
def router() -> Router:
    result = Router()
    for pattern in PATTERNS:
        result.insert(parse_pattern(pattern), "GET", pattern, "bench_router.py:1")
    result.freeze()
    return result


@pytest.mark.parametrize("name", LOOKUPS)
def test_match(benchmark, router, name):
    assert benchmark(router.match_often, LOOKUPS[name], TIMES) == TIMES


@pytest.mark.parametrize("name", MISSES)
def test_match_nothing(benchmark, router, name):
    assert benchmark(router.match_often, MISSES[name], TIMES) == 0


def test_build_the_table(benchmark):
    def build() -> Router:
        result = Router()
        for pattern in parsed:
            result.insert(pattern, "GET", pattern, "bench_router.py:1")
        return result

    parsed = [parse_pattern(pattern) for pattern in PATTERNS]
    assert benchmark(build).lookup(b"/zen") is not None
