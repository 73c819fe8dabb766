//! Tokens: an organisation's people have one each.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use wiregrant_core::TokenId;
use wiregrant_core::api::{Me, NewToken, Organisation, ProblemKind, Role, Token, TokenCreated};
use wiregrant_store::{self as store, Party, Read};

use super::check_name;
use crate::answer::Listed;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Page, Path};
use crate::sign_in::{Caller, Holder};
use crate::tokens;

/// Tokens of one organisation that sign in, at a time.
pub const MAX_TOKENS: usize = 100;

/// `GET /me`
///
/// # Errors
/// None of its own.
pub async fn me(holder: Holder) -> Json<Me> {
    let organisation = Organisation::from(&holder.party);
    Json(Me { id: holder.token, organisation, holder: holder.name })
}

/// `POST /tokens`: one more for the own organisation; administrators also make those of others, but of operators. The token
/// that signs in once is used up by it.
///
/// # Errors
/// `invalid-request`, `forbidden`, `not-found`, `conflict`.
pub async fn create(
    State(plane): State<Shared>,
    caller: Caller,
    maker: Holder,
    Body(new): Body<NewToken>,
) -> Answer<(StatusCode, Json<TokenCreated>)> {
    check_name("holder", &new.holder)?;
    let now = plane.clock.now();
    let mut write = plane.store.write().await?;
    let party = match new.organisation {
        None => maker.party.clone(),
        Some(organisation) => named(&mut write, &caller, &maker, organisation).await?,
    };
    if signing_in(&mut write, &party).await?.len() >= MAX_TOKENS {
        let detail = format!("organisation: it has {MAX_TOKENS} tokens, the most there may be; revoke one");
        return Err(Failure::new(ProblemKind::Conflict, detail));
    }
    let made_by = Some(maker.token.clone());
    let asked = tokens::Asked { party, holder: new.holder, made_by, valid_from: now };
    let issued = tokens::issue(&plane.keys, &mut write, asked, now).await?;
    let is_bootstrap = matches!(caller, Caller::Bootstrap);
    if is_bootstrap && !write.spend_token(&maker.token, now).await? {
        return Err(Failure::new(ProblemKind::Unauthorized, "the token has signed in once already"));
    }
    write.commit().await?;
    if is_bootstrap {
        plane.forget_bootstrap_file();
    }
    Ok((StatusCode::CREATED, Json(TokenCreated { id: issued.id, token: issued.token })))
}

/// `GET /tokens`: the own organisation's, revoked ones too.
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>, holder: Holder, page: Page) -> Answer<Listed<Token>> {
    page.of(own(&plane, &holder).await?, |row| row.id.to_string())
}

/// The tokens of one's own organisation, revoked ones too.
///
/// # Errors
/// `busy` or `internal`.
pub async fn own(plane: &ControlPlane, holder: &Holder) -> Answer<Vec<Token>> {
    let tokens = plane.store.read().await?.tokens_of(&holder.party).await?;
    Ok(tokens.into_iter().map(shown).collect())
}

/// The path of an organisation.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OfOrganisation {
    pub(crate) role: Role,
    pub(crate) organisation: String,
}

/// `GET /organisations/{role}/{organisation}/tokens`: those of another organisation, so that an administrator can revoke one.
///
/// # Errors
/// `not-found`, `invalid-request`.
pub async fn list_of(
    State(plane): State<Shared>,
    Path(OfOrganisation { role, organisation }): Path<OfOrganisation>,
    page: Page,
) -> Answer<Listed<Token>> {
    page.of(of(&plane, role, &organisation).await?, |row| row.id.to_string())
}

/// The tokens of an organisation, revoked ones too.
///
/// # Errors
/// `not-found`, `invalid-request`.
pub async fn of(plane: &ControlPlane, role: Role, id: &str) -> Answer<Vec<Token>> {
    let mut read = plane.store.read().await?;
    let party = known(&mut read, role, id).await?;
    Ok(read.tokens_of(&party).await?.into_iter().map(shown).collect())
}

/// `DELETE /tokens/{token}`: the token and every session opened with it end now. An organisation keeps its last one.
///
/// # Errors
/// `not-found`, `conflict`.
pub async fn revoke(
    State(plane): State<Shared>,
    caller: Caller,
    holder: Holder,
    Path(id): Path<TokenId>,
) -> Answer<Json<Token>> {
    let mut write = plane.store.write().await?;
    let is_administrator = matches!(caller, Caller::Administrator);
    let token = write.token(&id).await?.filter(|token| is_administrator || token.party == holder.party);
    // Another organisation's token is no more than one that is not there.
    let token = token.ok_or_else(|| Failure::not_found("token", &id))?;
    let is_last = !signing_in(&mut write, &token.party).await?.iter().any(|other| other.token != id);
    if is_last && token.revoked_at.is_none() && token.party == holder.party {
        let detail = format!("{id} is the last token of its organisation; make another one first");
        return Err(Failure::new(ProblemKind::Conflict, detail));
    }
    write.revoke_token(&id, plane.clock.now()).await?;
    let token = write.token(&id).await?.ok_or_else(|| Failure::not_found("token", &id))?;
    write.commit().await?;
    Ok(Json(shown(token)))
}

/// The tokens of a party that sign in as often as their holders like.
async fn signing_in(read: &mut Read, party: &Party) -> Answer<Vec<store::Token>> {
    let tokens = read.tokens_of(party).await?.into_iter();
    Ok(tokens.filter(|token| token.revoked_at.is_none() && !token.one_time).collect())
}

/// The organisation that a token is asked for, which must exist and be one that the caller may ask for.
async fn named(
    read: &mut Read,
    caller: &Caller,
    maker: &Holder,
    organisation: Organisation,
) -> Answer<Party> {
    if organisation == Organisation::from(&maker.party) {
        return Ok(maker.party.clone());
    }
    if !matches!(caller, Caller::Administrator) {
        let detail = "organisation: only an administrator makes tokens for another than their own";
        return Err(Failure::new(ProblemKind::Forbidden, detail));
    }
    let Organisation { role, id } = organisation;
    if role == Role::Operator {
        let detail = "organisation: nobody makes tokens for an operator but their own people: whoever pays out to them \
                      must not be able to sign in as them";
        return Err(Failure::new(ProblemKind::Forbidden, detail));
    }
    known(read, role, &id.unwrap_or_default()).await
}

/// The organisation of this role and id.
async fn known(read: &mut Read, role: Role, id: &str) -> Answer<Party> {
    let (party, is_there) = match role {
        Role::Administrator => {
            return Err(Failure::field("organisation.id", id, "absent, for administrators"));
        }
        Role::Operator => {
            let operator = id.parse()?;
            let is_there = read.operator(&operator).await?.is_some();
            (Party::Operator(operator), is_there)
        }
        Role::Distributor => {
            let distributor = id.parse()?;
            let is_there = read.distributors().await?.iter().any(|row| row.distributor == distributor);
            (Party::Distributor(distributor), is_there)
        }
        Role::Funder => {
            let funder = id.parse()?;
            let is_there = read.funders().await?.contains_key(&funder);
            (Party::Funder(funder), is_there)
        }
        Role::Auditor => {
            let auditor = id.parse()?;
            let is_there = read.auditors().await?.contains_key(&auditor);
            (Party::Auditor(auditor), is_there)
        }
    };
    if is_there { Ok(party) } else { Err(Failure::not_found(role.as_str(), id)) }
}

fn shown(row: store::Token) -> Token {
    Token {
        organisation: Organisation::from(&row.party),
        id: row.token,
        holder: row.holder,
        made_by: row.made_by,
        created: row.created_at,
        valid_from: row.valid_from,
        one_time: row.one_time,
        spent: row.spent_at,
        revoked: row.revoked_at,
    }
}
