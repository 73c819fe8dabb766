//! The URLs of the pages that are made for whoever asks; pages that are the same for everyone are public files.

use super::api::MAX_BATCH_BODY_BYTES;
use super::endpoint::Endpoint;
use super::endpoint::page::{get, post};
use crate::forms;
use crate::pages::{
    admin, admin_grant, admin_grants, batch, codes, decisions as decision_pages, device_file,
    devices as device_pages, funder, grant_terms, help, new_batch, operator_credit, operator_destination,
    operator_enrol, operator_grants, operator_nodes, operator_payouts, operator_traffic, organisations,
    redeem, socks5, tokens,
};
use crate::sign_in::Who;

/// Every page that is made for whoever asks. Who is not signed in is led to where one does, and handlers take
/// [`crate::sign_in::Caller`] and [`crate::sign_in::Holder`] as those of the API do.
#[must_use]
pub fn pages() -> Vec<Endpoint> {
    let lists = [
        for_signing_in(),
        for_people(),
        for_operators(),
        for_issuers(),
        for_funders(),
        for_whoever_signed_in(),
        for_administrators(),
        for_administrators_of_grants(),
    ];
    lists.into_iter().flatten().collect()
}

/// Signing in and out.
fn for_signing_in() -> Vec<Endpoint> {
    use Who::Everyone;
    vec![
        get(forms::SIGN_IN, Everyone, forms::show),
        post(forms::SIGN_IN, Everyone, forms::sign_in),
        post(forms::SIGN_OUT, Everyone, forms::sign_out),
    ]
}

/// People with an access code; the pages take the code themselves (`pages::person`).
fn for_people() -> Vec<Endpoint> {
    use Who::Everyone;
    vec![
        get("/redeem", Everyone, redeem::show),
        post("/redeem", Everyone, redeem::redeem),
        post("/redeem/forget", Everyone, redeem::forget),
        get("/help", Everyone, help::show),
        get("/devices", Everyone, device_pages::show),
        post("/devices", Everyone, device_pages::create),
        post("/devices/delete-all", Everyone, device_pages::delete_all),
        get("/devices/{key}/file", Everyone, device_file::download),
        post("/devices/{key}/remove", Everyone, device_pages::remove),
        post("/devices/{key}/socks5", Everyone, socks5::give),
    ]
}

/// Operators; the administrator sees them too.
fn for_operators() -> Vec<Endpoint> {
    use Who::OperatorToo;
    vec![
        get("/operator", OperatorToo, operator_nodes::own),
        get("/operators/{operator}", OperatorToo, operator_nodes::show),
        get("/operators/{operator}/enrol", OperatorToo, operator_enrol::show),
        post("/operators/{operator}/enrol", OperatorToo, operator_enrol::invite),
        get("/operators/{operator}/invitations/{hash}", OperatorToo, operator_enrol::watch),
        get("/operators/{operator}/traffic", OperatorToo, operator_traffic::show),
        get("/operators/{operator}/grants", OperatorToo, operator_grants::show),
        post("/operators/{operator}/grants/{grant}/apply", OperatorToo, operator_grants::apply),
        post("/operators/{operator}/grants/{grant}/admit", OperatorToo, operator_grants::admit),
        post("/operators/{operator}/grants/{grant}/leave", OperatorToo, operator_grants::leave),
        get("/operators/{operator}/credit", OperatorToo, operator_credit::show),
        get("/operators/{operator}/payouts", OperatorToo, operator_payouts::show),
        post("/operators/{operator}/payouts/{grant}/{epoch}/object", OperatorToo, operator_payouts::object),
        get("/operators/{operator}/destination", OperatorToo, operator_destination::show),
        post("/operators/{operator}/destination", OperatorToo, operator_destination::change),
    ]
}

/// Who hands access codes out: distributors and operators.
fn for_issuers() -> Vec<Endpoint> {
    use Who::Issuer;
    vec![get("/codes", Issuer, codes::show), post("/codes", Issuer, codes::issue)]
}

/// Funders; the administrator sees them too.
fn for_funders() -> Vec<Endpoint> {
    use Who::FunderToo;
    vec![
        get("/funder", FunderToo, funder::show),
        post("/funder/grants/{grant}/epochs/{epoch}/approve", FunderToo, funder::approve),
        post("/funder/grants/{grant}/auditors", FunderToo, funder::name_auditor),
        get("/funder/grants/{grant}/new-batch", FunderToo, new_batch::show),
        post("/funder/grants/{grant}/new-batch", FunderToo, new_batch::create)
            .with_body(MAX_BATCH_BODY_BYTES),
        get("/batches/{batch}", FunderToo, batch::show),
        post("/batches/{batch}/freeze", FunderToo, batch::freeze),
        post("/batches/{batch}/export", FunderToo, batch::export_it),
        get("/batches/{batch}/psbt", FunderToo, batch::psbt),
        get("/batches/{batch}/payees/{form}", FunderToo, batch::payees),
        post("/batches/{batch}/transaction", FunderToo, batch::declare).with_body(MAX_BATCH_BODY_BYTES),
        post("/batches/{batch}/cancel", FunderToo, batch::cancel),
    ]
}

/// Whoever has a token: the people of one's own organisation.
fn for_whoever_signed_in() -> Vec<Endpoint> {
    use Who::SignedIn;
    vec![
        get("/tokens", SignedIn, tokens::own),
        post("/tokens", SignedIn, tokens::make),
        post("/tokens/{token}/revoke", SignedIn, tokens::revoke),
    ]
}

/// The administrator: who takes part, and with what.
fn for_administrators() -> Vec<Endpoint> {
    use Who::Administrator;
    vec![
        get("/admin", Administrator, admin::show),
        post("/admin/locations", Administrator, admin::add_place),
        post("/admin/nodes/{node}/freeze", Administrator, admin::freeze),
        post("/admin/nodes/{node}/unfreeze", Administrator, admin::unfreeze),
        get("/admin/organisations", Administrator, organisations::show),
        post("/admin/operators", Administrator, organisations::add_operator),
        post("/admin/distributors", Administrator, organisations::add_distributor),
        post("/admin/distributors/{distributor}/budget", Administrator, organisations::set_budget),
        post("/admin/funders", Administrator, organisations::add_funder),
        post("/admin/auditors", Administrator, organisations::add_auditor),
        get("/admin/organisations/{role}/{organisation}", Administrator, tokens::of),
        post("/admin/organisations/{role}/{organisation}", Administrator, tokens::make_for),
        post("/admin/organisations/{role}/{organisation}/{token}/revoke", Administrator, tokens::revoke_of),
        get("/admin/codes", Administrator, codes::show_of),
        post("/admin/codes", Administrator, codes::issue_for),
    ]
}

/// The administrator: grants, and what is decided about their lines.
fn for_administrators_of_grants() -> Vec<Endpoint> {
    use Who::Administrator;
    vec![
        get("/admin/grants", Administrator, admin_grants::show),
        get("/admin/new-grant", Administrator, grant_terms::new),
        post("/admin/new-grant", Administrator, grant_terms::create),
        get("/admin/drafts/{grant}", Administrator, grant_terms::show_draft),
        post("/admin/drafts/{grant}", Administrator, grant_terms::save_draft),
        post("/admin/drafts/{grant}/open", Administrator, grant_terms::open),
        post("/admin/drafts/{grant}/discard", Administrator, grant_terms::discard),
        get("/admin/grants/{grant}", Administrator, admin_grant::show),
        get("/admin/grants/{grant}/terms", Administrator, grant_terms::show),
        post("/admin/grants/{grant}/terms", Administrator, grant_terms::change),
        post("/admin/grants/{grant}/contributions", Administrator, admin_grant::contribute),
        post("/admin/grants/{grant}/nodes", Administrator, admin_grant::admit),
        post("/admin/grants/{grant}/nodes/{node}/leave", Administrator, admin_grant::leave),
        post("/admin/grants/{grant}/corrections", Administrator, admin_grant::adjust),
        post("/admin/grants/{grant}/close", Administrator, admin_grant::close),
        get("/admin/decisions", Administrator, decision_pages::show),
        post("/admin/findings", Administrator, decision_pages::find),
        post(
            "/admin/grants/{grant}/epochs/{epoch}/operators/{operator}",
            Administrator,
            decision_pages::decide,
        ),
        post("/admin/grants/{grant}/operators/{operator}/approve", Administrator, decision_pages::approve),
        post("/admin/grants/{grant}/operators/{operator}/reject", Administrator, decision_pages::reject),
    ]
}
