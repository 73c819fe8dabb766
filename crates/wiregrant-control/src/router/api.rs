//! The URLs of the API, by who asks. The table in `wiregrant_core::api` is the contract, this one what holds it.

use wiregrant_core::api::ProblemKind;

use super::endpoint::{Endpoint, delete, get, post, put};
use crate::api::{
    access_codes, applications, audit, auditors, batches, condition, decisions, desired, devices,
    distributors, drafts, epochs, funders, grants, invitations, ledger, locations, nodes, operators,
    recoveries, reports, terms, tokens, usage,
};
use crate::sign_in::Who;

/// The longest body of a batch: coins may come with the transactions that made them.
pub(super) const MAX_BATCH_BODY_BYTES: usize = 4 * 1024 * 1024;
/// The longest body of a node's condition. A node has at most 1,021 devices, and a device's level takes under 100 bytes.
const MAX_CONDITION_BODY_BYTES: usize = 256 * 1024;
/// The longest body with several reports: 100 of at most 4 KiB, whose line feeds take two bytes in JSON.
const MAX_REPORTS_BODY_BYTES: usize = 512 * 1024;

/// How a usage report may be refused.
const REPORT_PROBLEMS: &[ProblemKind] = &[
    ProblemKind::ReportForm,
    ProblemKind::ReportSignature,
    ProblemKind::ReportOtherLog,
    ProblemKind::ReportOtherNode,
    ProblemKind::ReportGap,
    ProblemKind::ReportPrevious,
    ProblemKind::ReportTotalFell,
    ProblemKind::ReportOverlap,
    ProblemKind::ReportEpoch,
    ProblemKind::ReportClock,
    ProblemKind::ReportForked,
    ProblemKind::NodeFrozen,
];

/// Every URL of the API.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    let lists = [
        for_everyone(),
        for_whoever_signed_in(),
        for_people(),
        for_issuers(),
        for_nodes(),
        for_operators(),
        for_funders(),
        for_auditors(),
        for_administrators(),
        for_administrators_of_grants(),
    ];
    lists.into_iter().flatten().collect()
}

/// Whoever asks; what proves that they may is in the body.
fn for_everyone() -> Vec<Endpoint> {
    use ProblemKind::{
        Address, AlreadyExists, Conflict, Invitation, LooksLikeASecret, NoNode, NotFound, RequestClock,
        RequestSignature,
    };
    use Who::Everyone;
    vec![
        post("/operators/{operator}/recovery", Everyone, recoveries::create).says(
            "Recovers a lost token, by the operator's key or wallet and after 72 hours; it is shown this once.",
            &[NotFound, Conflict, Address, LooksLikeASecret],
        ),
        get("/locations", Everyone, locations::list).says("Lists all locations.", &[]),
        post("/nodes", Everyone, nodes::join).says(
            "Redeems an invitation: a node joins.",
            &[Invitation, RequestSignature, AlreadyExists, NoNode],
        ),
        post("/nodes/{node}/rekey", Everyone, nodes::rekey).says(
            "Replaces a node's identity key by one that the former key announces.",
            &[NotFound, RequestSignature, RequestClock, Conflict, AlreadyExists],
        ),
        get("/grants", Everyone, grants::list).says("Lists all grants.", &[]),
        get("/grants/{grant}", Everyone, grants::show).says("Shows a grant.", &[NotFound]),
        get("/grants/{grant}/terms", Everyone, terms::list)
            .says("Lists the terms of a grant, with the epoch from which each acts.", &[NotFound]),
        get("/grants/{grant}/statements", Everyone, epochs::statements)
            .says("Lists the statements of a grant.", &[NotFound]),
    ]
}

/// Everyone who has a token.
fn for_whoever_signed_in() -> Vec<Endpoint> {
    use ProblemKind::{Conflict, NotFound};
    use Who::{Claimant, SignedIn};
    vec![
        get("/me", SignedIn, tokens::me).says("Shows whose token or cookie it is.", &[]),
        get("/tokens", SignedIn, tokens::list).says("Lists the tokens of one's organisation.", &[]),
        delete("/tokens/{token}", SignedIn, tokens::revoke)
            .says("Ends a token and every session opened with it.", &[Conflict, NotFound]),
        get("/grants/{grant}/ledger", SignedIn, ledger::accounts)
            .says("Shows the accounts of a grant; an operator sees their own.", &[NotFound]),
        post("/tokens", Claimant, tokens::create)
            .says("Makes a token for one more person; it is shown this once.", &[Conflict, NotFound]),
    ]
}

/// People with an access code.
fn for_people() -> Vec<Endpoint> {
    use ProblemKind::{AccessCodeExpired, AccessCodeUsedUp, Conflict, Forbidden, NoNode, NotFound};
    use Who::CodeHolder;
    vec![
        post("/devices", CodeHolder, devices::create).says(
            "Places a device on a node.",
            &[AccessCodeExpired, AccessCodeUsedUp, NoNode, Conflict, Forbidden],
        ),
        get("/devices", CodeHolder, devices::list).says("Lists the devices of an access code.", &[Forbidden]),
        delete("/devices/{public_key}", CodeHolder, devices::remove)
            .says("Removes a device; removing it once more is no error.", &[NotFound, Forbidden]),
        post("/devices/{public_key}/switch", CodeHolder, devices::switch).says(
            "Moves a device to another node, under a new key.",
            &[NotFound, AccessCodeExpired, AccessCodeUsedUp, NoNode, Conflict, Forbidden],
        ),
        post("/devices/{public_key}/socks5", CodeHolder, devices::socks5)
            .says("Gives a device a new SOCKS5 login; the old one stops.", &[NotFound, Conflict, Forbidden]),
        delete("/code", CodeHolder, devices::forget_code)
            .says("Forgets an access code and removes its devices.", &[Forbidden]),
    ]
}

/// Who hands access codes out: distributors and operators.
fn for_issuers() -> Vec<Endpoint> {
    use ProblemKind::Budget;
    use Who::Issuer;
    vec![
        post("/access-codes", Issuer, access_codes::create)
            .says("Issues access codes, shown this once.", &[Budget]),
        get("/access-codes", Issuer, access_codes::list)
            .says("Lists the codes one has issued, without the codes themselves.", &[]),
    ]
}

/// Nodes: their agents.
fn for_nodes() -> Vec<Endpoint> {
    use ProblemKind::NotFound;
    use Who::Node;
    vec![
        get("/nodes/{node}/desired", Node, desired::wait)
            .says("Tells a node what it should do, as soon as that changes.", &[NotFound]),
        put("/nodes/{node}/condition", Node, condition::tell)
            .with_body(MAX_CONDITION_BODY_BYTES)
            .says("Takes what a node says of itself; it overwrites the last.", &[NotFound]),
        get("/nodes/{node}/head", Node, reports::head)
            .says("Tells a node which report of its was accepted last.", &[]),
        post("/nodes/{node}/reports", Node, reports::accept)
            .says("Takes a usage report, and answers with the proof that it is logged.", REPORT_PROBLEMS),
        post("/nodes/{node}/reports/batch", Node, reports::accept_several)
            .with_body(MAX_REPORTS_BODY_BYTES)
            .says(
                "Takes several usage reports, and answers with the proofs that they are logged.",
                REPORT_PROBLEMS,
            ),
    ]
}

/// Operators; the administrator may do the same for them.
fn for_operators() -> Vec<Endpoint> {
    use ProblemKind::{Address, AlreadyExists, Conflict, LooksLikeASecret, NotFound};
    use Who::OperatorToo;
    vec![
        get("/operators/{operator}", OperatorToo, operators::show).says("Shows an operator.", &[NotFound]),
        post("/operators/{operator}/destination", OperatorToo, operators::set_destination)
            .says("Says where an operator is paid.", &[NotFound, Address, LooksLikeASecret, Conflict]),
        get("/operators/{operator}/usage", OperatorToo, usage::show)
            .says("Sums what an operator's nodes have served, by day or hour.", &[]),
        post("/invitations", OperatorToo, invitations::create)
            .says("Invites one node; the invitation is shown this once.", &[NotFound]),
        get("/nodes", OperatorToo, nodes::list).says("Lists nodes; an operator sees their own.", &[]),
        post("/nodes/{node}/invitation", OperatorToo, invitations::create_for_node).says(
            "Invites a node whose keys are lost to go on under others; the invitation is shown this once.",
            &[NotFound, Conflict],
        ),
        post("/nodes/{node}/retire", OperatorToo, nodes::retire)
            .says("Retires a node for good; its devices are offered another.", &[NotFound, Conflict]),
        get("/grants/{grant}/operators", OperatorToo, applications::list)
            .says("Lists the operators who applied; an operator sees their own application.", &[NotFound]),
        post("/grants/{grant}/operators", OperatorToo, applications::apply)
            .says("Applies to take part in a grant.", &[NotFound, Conflict, AlreadyExists]),
        post("/grants/{grant}/nodes", OperatorToo, grants::admit)
            .says("Admits a node from the next epoch that begins.", &[NotFound, Conflict]),
        delete("/grants/{grant}/nodes/{node}", OperatorToo, grants::leave)
            .says("Lets a node leave with the epoch under way.", &[NotFound, Conflict]),
        get("/grants/{grant}/findings", OperatorToo, decisions::findings)
            .says("Lists the findings of a grant; an operator sees their own.", &[NotFound]),
        get("/grants/{grant}/lines", OperatorToo, decisions::lines)
            .says("Lists the lines of a grant's statements, with where each stands.", &[NotFound]),
        post("/grants/{grant}/epochs/{epoch}/operators/{operator}/object", OperatorToo, decisions::object)
            .says("Objects to one's own line.", &[NotFound, Conflict]),
        get("/grants/{grant}/epochs/{epoch}/credit", OperatorToo, decisions::credit)
            .says("Shows nodes' credit of a closed epoch, with what was disallowed and why.", &[NotFound]),
    ]
}

/// Funders; the administrator may do the same for them.
fn for_funders() -> Vec<Endpoint> {
    use ProblemKind::{
        Address, AlreadyExists, Coins, Conflict, LooksLikeASecret, NotFound, NothingPayable, Payment,
    };
    use Who::FunderToo;
    vec![
        post("/auditors", FunderToo, auditors::create)
            .says("Names an auditor of grants; their token is shown this once.", &[AlreadyExists, NotFound]),
        get("/auditors", FunderToo, auditors::list)
            .says("Lists auditors; a funder sees those of their grants.", &[]),
        post("/grants/{grant}/epochs/{epoch}/approve", FunderToo, decisions::approve)
            .says("Approves a statement; two people may have to.", &[NotFound, Conflict]),
        post("/batches", FunderToo, batches::create).with_body(MAX_BATCH_BODY_BYTES).says(
            "Freezes payable lines into a batch, with its unsigned transaction.",
            &[AlreadyExists, NotFound, NothingPayable, LooksLikeASecret, Address, Coins, Conflict],
        ),
        post("/batches/{batch}/freeze", FunderToo, batches::freeze).says(
            "Freezes a draft: what is due now, to the destinations in force now.",
            &[NotFound, NothingPayable, AlreadyExists, LooksLikeASecret, Address, Coins, Conflict],
        ),
        post("/batches/{batch}/cancel", FunderToo, batches::cancel)
            .says("Cancels a batch.", &[NotFound, Conflict]),
        get("/batches", FunderToo, batches::list)
            .says("Lists batches; a funder sees those of their grants.", &[]),
        get("/batches/{batch}", FunderToo, batches::show).says("Shows a batch.", &[NotFound]),
        post("/batches/{batch}/export", FunderToo, batches::export)
            .says("Hands out what a batch pays, and notes that it has left.", &[NotFound]),
        post("/batches/{batch}/transaction", FunderToo, batches::declare)
            .with_body(MAX_BATCH_BODY_BYTES)
            .says(
                "Declares which transaction pays a batch.",
                &[NotFound, Conflict, Payment, LooksLikeASecret, Address],
            ),
    ]
}

/// Auditors.
fn for_auditors() -> Vec<Endpoint> {
    use ProblemKind::NotFound;
    vec![
        get("/grants/{grant}/epochs/{epoch}/inputs", Who::Auditor, audit::inputs)
            .says("Shows the inputs note of a closed epoch.", &[NotFound]),
        get("/grants/{grant}/epochs/{epoch}/reports/{page}", Who::Auditor, audit::reports)
            .says("Shows the reports that a closed epoch's credit is counted from.", &[NotFound]),
    ]
}

/// The administrator: who takes part, and with what.
fn for_administrators() -> Vec<Endpoint> {
    use ProblemKind::{AlreadyExists, Budget, Conflict, NotFound};
    use Who::Administrator;
    vec![
        post("/funders", Administrator, funders::create)
            .says("Adds a funder; their token is shown this once.", &[AlreadyExists, NotFound]),
        get("/funders", Administrator, funders::list).says("Lists all funders.", &[]),
        post("/operators", Administrator, operators::create)
            .says("Adds an operator; their token is shown this once.", &[AlreadyExists]),
        get("/operators", Administrator, operators::list).says("Lists all operators.", &[]),
        post("/locations", Administrator, locations::create).says("Adds a location.", &[AlreadyExists]),
        post("/nodes/{node}/freeze", Administrator, nodes::freeze)
            .says("Refuses a node's reports until they are let in again.", &[NotFound, Conflict]),
        post("/nodes/{node}/unfreeze", Administrator, nodes::unfreeze)
            .says("Takes a frozen node's reports again.", &[NotFound, Conflict]),
        get("/nodes/{node}/evidence", Administrator, nodes::evidence)
            .says("Lists the pairs of texts that a node signed under one number.", &[NotFound]),
        post("/distributors", Administrator, distributors::create)
            .says("Adds a distributor; their token is shown this once.", &[AlreadyExists]),
        put("/distributors/{distributor}/budget", Administrator, distributors::set_budget)
            .says("Says what a distributor may issue in all.", &[NotFound]),
        get("/distributors", Administrator, distributors::list).says("Lists all distributors.", &[]),
        post("/distributors/{distributor}/access-codes", Administrator, access_codes::create_for).says(
            "Issues access codes of a distributor, within their budget, shown this once.",
            &[NotFound, Budget],
        ),
        get("/distributors/{distributor}/access-codes", Administrator, access_codes::list_of).says(
            "Lists the codes that a distributor has issued, without the codes themselves.",
            &[NotFound],
        ),
        get("/organisations/{role}/{organisation}/tokens", Administrator, tokens::list_of)
            .says("Lists the tokens of another organisation.", &[NotFound]),
    ]
}

/// The administrator: grants, and what is decided about their lines.
fn for_administrators_of_grants() -> Vec<Endpoint> {
    use ProblemKind::{AlreadyExists, Conflict, EpochNotOver, NotFound};
    use Who::Administrator;
    vec![
        post("/grants", Administrator, grants::create)
            .says("Creates a grant; its terms are logged and hold for good.", &[AlreadyExists]),
        get("/drafts", Administrator, drafts::list).says("Lists grants that are not open yet.", &[]),
        post("/drafts/{grant}/open", Administrator, drafts::open)
            .says("Opens a draft: its terms are logged.", &[NotFound, AlreadyExists, Conflict]),
        delete("/drafts/{grant}", Administrator, drafts::discard)
            .says("Discards a draft.", &[NotFound, Conflict]),
        post("/grants/{grant}/terms", Administrator, terms::change)
            .says("Changes a grant's terms from a later epoch on.", &[NotFound, Conflict]),
        post("/grants/{grant}/close", Administrator, terms::close)
            .says("Ends a grant.", &[NotFound, Conflict]),
        post("/grants/{grant}/operators/{operator}/approve", Administrator, applications::approve)
            .says("Approves an application.", &[NotFound, Conflict]),
        post("/grants/{grant}/operators/{operator}/reject", Administrator, applications::reject)
            .says("Rejects an application.", &[NotFound, Conflict]),
        post("/grants/{grant}/contributions", Administrator, grants::contribute)
            .says("Promises sats, from the next epoch that begins.", &[NotFound, Conflict]),
        post("/grants/{grant}/findings", Administrator, decisions::find)
            .says("Logs a finding about a node; its unpaid lines are held.", &[NotFound, Conflict]),
        post("/grants/{grant}/epochs/{epoch}/operators/{operator}/hold", Administrator, decisions::hold)
            .says("Holds a line.", &[NotFound, Conflict]),
        post(
            "/grants/{grant}/epochs/{epoch}/operators/{operator}/release",
            Administrator,
            decisions::release,
        )
        .says("Releases a held line.", &[NotFound, Conflict]),
        post(
            "/grants/{grant}/epochs/{epoch}/operators/{operator}/forfeit",
            Administrator,
            decisions::forfeit,
        )
        .says("Forfeits a held line; its sats return to the grant.", &[NotFound, Conflict]),
        post("/grants/{grant}/adjustments", Administrator, decisions::adjust)
            .says("Corrects an operator's sats in the next statement.", &[NotFound, Conflict]),
        get("/grants/{grant}/adjustments", Administrator, decisions::adjustments)
            .says("Lists the adjustments of a grant.", &[NotFound]),
        get("/ledger/check", Administrator, ledger::check).says("Checks that all accounts add up.", &[]),
        post("/grants/{grant}/epochs/{epoch}/close", Administrator, epochs::close)
            .says("Closes an epoch that is over, into its statement.", &[NotFound, EpochNotOver]),
    ]
}
