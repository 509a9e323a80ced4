// SPDX-License-Identifier: Apache-2.0
import { chmodSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Inject, Injectable, type OnModuleInit } from "@nestjs/common";
import { AppError } from "../../common/app-error.ts";
import { Authenticator, type Caller, scopes } from "../../common/caller.ts";
import { Clock } from "../../common/clock.ts";
import { Log } from "../../common/log.ts";
import { SharedAnswers } from "../../common/shared-answers.ts";
import { Config } from "../../config/config.ts";
import { prepareDataDirectory, unusable } from "../../config/data-directory.ts";
import { hashToken, isWellFormed, mintToken, type TokenKind } from "./token.ts";
import { type ApiTokenRow, type Organisation, TokensRepository } from "./tokens.repository.ts";

/** 30 days; signing in again is one paste. */
export const SESSION_LIFETIME_MS = 30 * 86_400_000;
const TOUCH_INTERVAL_MS = 60_000;
/** A page sends two dozen requests within a second: whose their credential is, is looked up once. What was revoked by another node is refused as much later. */
const CALLER_KNOWN_MS = 1_000;
const CALLERS_KNOWN_MAX = 1_000;
const ADMIN_TOKEN_NAME = "admin-token file";
const ENROLMENT_TOKEN_NAME = "enrolment-token file";

/** Who a credential belongs to. Texts never say whether a token is unknown, expired or revoked: that would tell a finder what he has. */
@Injectable()
export class TokensService extends Authenticator implements OnModuleInit {
  private readonly touchedAt = new Map<string, number>();
  /** By the credential's hash. One that is nobody's is not kept. */
  private readonly rows = new SharedAnswers<ApiTokenRow>(CALLER_KNOWN_MS, CALLERS_KNOWN_MAX);

  constructor(
    @Inject(TokensRepository) private readonly repository: TokensRepository,
    @Inject(Config) private readonly config: Config,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {
    super();
  }

  async onModuleInit(): Promise<void> {
    await this.provideFirstTokens();
  }

  override async authenticateToken(token: string): Promise<Caller> {
    return toCaller(await this.getApiTokenOrThrow(token));
  }

  override async authenticateSession(token: string): Promise<Caller> {
    const isOver = (): never => {
      throw new AppError("UNAUTHENTICATED", "The session is over. Sign in again with a token.");
    };
    if (!isWellFormed(token, "ses")) return isOver();
    const hash = hashToken(token);
    const row = await this.rows.get(hash, async () => (await this.repository.getSession(hash)) ?? isOver(), performance.now());
    this.touch(row.id);
    return toCaller(row);
  }

  /** Exchanges an API token for a session secret. Throws UNAUTHENTICATED. */
  async createSession(token: string): Promise<{ caller: Caller; secret: string; expiresAt: Date }> {
    const row = await this.getApiTokenOrThrow(token);
    const secret = mintToken("ses");
    const expiresAt = new Date(this.clock.now() + SESSION_LIFETIME_MS);
    await this.repository.createSession(row.organisationId, row.id, hashToken(secret), expiresAt);
    return { caller: toCaller(row), secret, expiresAt };
  }

  /** Ends a session; an unknown one is over already. */
  async deleteSession(secret: string): Promise<void> {
    const hash = hashToken(secret);
    await this.repository.deleteSession(hash);
    this.rows.forget(hash);
  }

  /** The organisation that an enrolment token lets hosts into. Throws UNAUTHENTICATED. */
  async getEnrolmentOrganisationId(token: string): Promise<string> {
    const row = isWellFormed(token, "enr") ? await this.repository.getEnrolmentToken(hashToken(token)) : undefined;
    if (row === undefined)
      throw new AppError(
        "UNAUTHENTICATED",
        "The enrolment token is not valid (unknown, expired or revoked). Take a new one from the API's enrolment-token file.",
      );
    return row.organisationId;
  }

  /** The host that a credential belongs to. Throws UNAUTHENTICATED. */
  async getHost(credential: string): Promise<{ organisationId: string; hostId: string; hostName: string }> {
    const row = isWellFormed(credential, "hst") ? await this.repository.getHostCredential(hashToken(credential)) : undefined;
    if (row === undefined) throw new AppError("UNAUTHENTICATED", "The host credential is not valid any more. Enrol this host again.");
    return row;
  }

  /** A new organisation with one token of each kind, for tests and for whoever operates several tenants. */
  async createOrganisation(name: string): Promise<{ organisation: Organisation; adminToken: string; enrolmentToken: string }> {
    const organisation = await this.repository.createOrganisation(name);
    const adminToken = mintToken("adm");
    const enrolmentToken = mintToken("enr");
    await this.repository.createApiToken(organisation.id, "first", hashToken(adminToken), scopes);
    await this.repository.createEnrolmentToken(organisation.id, "first", hashToken(enrolmentToken));
    return { organisation, adminToken, enrolmentToken };
  }

  private async getApiTokenOrThrow(token: string): Promise<ApiTokenRow> {
    const isNot = (): never => {
      throw new AppError("UNAUTHENTICATED", "The token is not valid (unknown, expired or revoked).");
    };
    if (!isWellFormed(token, "adm")) return isNot();
    const hash = hashToken(token);
    const row = await this.rows.get(hash, async () => (await this.repository.getApiToken(hash)) ?? isNot(), performance.now());
    this.touch(row.id);
    return row;
  }

  /** last_used_at is worth one write a minute, not one per request. */
  private touch(id: string): void {
    const now = this.clock.now();
    if (now - (this.touchedAt.get(id) ?? 0) < TOUCH_INTERVAL_MS) return;
    this.touchedAt.set(id, now);
    this.repository.touchApiToken(id).catch((error) => this.log.warn({ err: error }, "could not note a token's use"));
  }

  /**
   * Makes the first organisation and its two token files. A file whose token still works is kept; a removed or stale one is
   * replaced, and what the old one held stops working: removing the file is how to rotate it.
   */
  private async provideFirstTokens(): Promise<void> {
    const organisation = await this.repository.getOrCreateFirstOrganisation("default");
    prepareDataDirectory(this.config.dataDirectory);
    await this.provideFile("admin-token", "adm", {
      isKnown: async (hash) => {
        const token = await this.repository.getApiToken(hash);
        if (token?.organisationId !== organisation.id) return false;
        // It may do everything, also what came after it was made.
        await this.repository.setScopes(token.id, scopes);
        return true;
      },
      replace: async (hash) => {
        await this.repository.revokeApiTokens(organisation.id, ADMIN_TOKEN_NAME);
        await this.repository.createApiToken(organisation.id, ADMIN_TOKEN_NAME, hash, scopes);
      },
    });
    await this.provideFile("enrolment-token", "enr", {
      isKnown: async (hash) => (await this.repository.getEnrolmentToken(hash))?.organisationId === organisation.id,
      replace: async (hash) => {
        await this.repository.revokeEnrolmentTokens(organisation.id, ENROLMENT_TOKEN_NAME);
        await this.repository.createEnrolmentToken(organisation.id, ENROLMENT_TOKEN_NAME, hash);
      },
    });
  }

  private async provideFile(
    name: string,
    kind: TokenKind,
    store: { isKnown: (hash: string) => Promise<boolean>; replace: (hash: string) => Promise<void> },
  ): Promise<void> {
    const path = join(this.config.dataDirectory, name);
    const held = readFileIfThere(path);
    if (held !== undefined && isWellFormed(held, kind) && (await store.isKnown(hashToken(held)))) {
      chmodSync(path, 0o600);
      return;
    }
    const token = mintToken(kind);
    await store.replace(hashToken(token));
    try {
      // Written aside and renamed: a reader sees a whole token or none.
      writeFileSync(`${path}.new`, `${token}\n`, { mode: 0o600 });
      chmodSync(`${path}.new`, 0o600);
      renameSync(`${path}.new`, path);
    } catch (error) {
      throw unusable(this.config.dataDirectory, error);
    }
    this.log.info({ file: path, replaced: held !== undefined }, "token file written");
  }
}

function toCaller(row: ApiTokenRow): Caller {
  return { organisationId: row.organisationId, organisationName: row.organisationName, scopes: row.scopes, token: { id: row.id, name: row.name } };
}

function readFileIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
