// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { Inject, Injectable } from "@nestjs/common";
import type { EnrolHostRequest, EnrolHostResponse, HostFacts } from "@waggle/proto";
import { TAGS_MAX, tagProblem } from "@waggle/query";
import { and, eq, isNull, sql } from "drizzle-orm";
import { AppError } from "../../common/app-error.ts";
import { Database, type Drizzle } from "../../postgres/database.ts";
import { hostCredentials, hosts } from "../../postgres/schema.ts";
import { noticeStatement } from "../events/noticed-events.ts";
import { LimitsService } from "../limits/limits.service.ts";
import { hashToken, mintToken } from "./token.ts";
import { TokensService } from "./tokens.service.ts";

/** Machines of one name in one organisation; beyond it somebody has cloned an image by the thousand. */
const NAME_SUFFIX_MAX = 10_000;
/** Two machines may take the same free name at the same moment; the unique index lets one through. */
const ATTEMPTS_MAX = 5;

/** Turns an enrolment token into a host with a credential of its own. */
@Injectable()
export class EnrolmentService {
  private readonly listeners = new Set<(hostId: string) => void>();

  constructor(
    @Inject(TokensService) private readonly tokens: TokensService,
    @Inject(Database) private readonly database: Database,
    @Inject(LimitsService) private readonly limits: LimitsService,
  ) {}

  /** Calls back with the id of a host whose earlier credential has just stopped working. */
  onCredentialRevoked(listener: (hostId: string) => void): void {
    this.listeners.add(listener);
  }

  /**
   * The same machine gets the same host back, with a new credential; the old one stops working.
   * @throws AppError UNAUTHENTICATED, VALIDATION_FAILED; RATE_LIMITED when the organisation has as many hosts as it may
   */
  async enrol(enrolmentToken: string, request: EnrolHostRequest): Promise<EnrolHostResponse> {
    const organisationId = await this.tokens.getEnrolmentOrganisationId(enrolmentToken);
    if (!/^[0-9a-f]{64}$/.test(request.machineKey)) throw new AppError("VALIDATION_FAILED", "machine_key must be 64 lower-case hex digits.");
    const { facts } = request;
    if (facts === undefined) throw new AppError("VALIDATION_FAILED", "facts are missing.");
    const problem = factsProblem(facts);
    if (problem !== undefined) throw new AppError("VALIDATION_FAILED", problem);

    // Not inside the transaction: on the embedded database nothing else runs while that is open.
    const isCounted = !(await this.isKnown(organisationId, request.machineKey)) && (await this.limits.mayLackRoomForHost(organisationId));
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await this.database.db.transaction((tx) =>
          this.enrolOnce(tx as unknown as Drizzle, organisationId, request.machineKey, facts, isCounted),
        );
        for (const listener of this.listeners) listener(response.hostId);
        return response;
      } catch (error) {
        if (!isUniqueViolation(error) || attempt === ATTEMPTS_MAX) throw error;
      }
    }
  }

  private async isKnown(organisationId: string, machineKey: string): Promise<boolean> {
    const [known] = await this.database.db
      .select({ retiredAt: hosts.retiredAt })
      .from(hosts)
      .where(and(eq(hosts.organisationId, organisationId), eq(hosts.machineKey, machineKey)));
    return known !== undefined && known.retiredAt === null;
  }

  /** @param isCounted whether a machine that is new has to be counted against the organisation's limit */
  private async enrolOnce(tx: Drizzle, organisationId: string, machineKey: string, facts: HostFacts, isCounted: boolean): Promise<EnrolHostResponse> {
    const [known] = await tx
      .select({ id: hosts.id, name: hosts.name, retiredAt: hosts.retiredAt })
      .from(hosts)
      .where(and(eq(hosts.organisationId, organisationId), eq(hosts.machineKey, machineKey)))
      .for("update");
    if (isCounted && (known === undefined || known.retiredAt !== null)) await this.limits.requireRoomForHost(organisationId, tx);
    const host = known ?? { id: randomUUID(), name: await this.freeName(tx, organisationId, facts.name) };
    const columns = factColumns(facts);
    if (known === undefined)
      await tx.insert(hosts).values({ id: host.id, organisationId, machineKey, name: host.name, ...columns, tags: columns.agentTags });
    else {
      const { kernelRelease: kernel, agentVersion } = facts;
      await tx.execute(noticeStatement([{ hostId: host.id, bootId: "", kernel, agentVersion }]));
      await tx
        .update(hosts)
        .set({ ...columns, tags: sql`${JSON.stringify(columns.agentTags)}::jsonb || ${hosts.ownTags}`, retiredAt: null })
        .where(eq(hosts.id, host.id));
    }
    await tx
      .update(hostCredentials)
      .set({ revokedAt: sql`now()` })
      .where(and(eq(hostCredentials.hostId, host.id), isNull(hostCredentials.revokedAt)));
    const credential = mintToken("hst");
    await tx.insert(hostCredentials).values({ id: randomUUID(), organisationId, hostId: host.id, tokenHash: hashToken(credential) });
    return { hostId: host.id, hostName: host.name, credential };
  }

  private async freeName(tx: Drizzle, organisationId: string, wanted: string): Promise<string> {
    for (let number = 1; number <= NAME_SUFFIX_MAX; number++) {
      const name = number === 1 ? wanted : `${wanted}-${number}`;
      const [taken] = await tx
        .select({ id: hosts.id })
        .from(hosts)
        .where(and(eq(hosts.organisationId, organisationId), eq(hosts.name, name)));
      if (taken === undefined) return name;
    }
    throw new AppError("VALIDATION_FAILED", `${NAME_SUFFIX_MAX} hosts are called ${wanted} already; give this one a name of its own.`);
  }
}

/** What is wrong with a host's facts, if anything. */
export function factsProblem(facts: HostFacts): string | undefined {
  if (facts.name.length < 1 || facts.name.length > 253) return "facts.name must have 1 to 253 characters.";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is kept out of names, logs and terminals
  if (/[\u0000-\u0020\u007f"]/.test(facts.name)) return "facts.name must not hold spaces, quotes or control characters.";
  for (const field of ["kernelRelease", "architecture", "distribution", "agentVersion"] as const) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: as above; Postgres also refuses NUL in text
    if (facts[field].length > 256 || /[\u0000-\u001f\u007f]/.test(facts[field])) return `facts.${field} must have at most 256 printable characters.`;
  }
  if (facts.cpuCount > 65_536) return "facts.cpu_count is beyond 65,536.";
  if (facts.memoryBytes > 2n ** 53n) return "facts.memory_bytes is beyond 2^53.";
  return undefined;
}

/** Facts as columns of `hosts`; the name is not among them, because it may have been taken. */
export function factColumns(facts: HostFacts) {
  return {
    kernel: facts.kernelRelease,
    distribution: facts.distribution,
    architecture: facts.architecture,
    cpus: facts.cpuCount,
    memoryBytes: Number(facts.memoryBytes),
    agentVersion: facts.agentVersion,
    simulated: facts.simulated,
    agentTags: validTags(facts.tags),
  };
}

/** An agent of another version may have other rules: what breaks ours is left out, and the host still reports. */
function validTags(tags: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(tags).filter(([key, value]) => tagProblem(key, value) === undefined);
  return Object.fromEntries(entries.slice(0, TAGS_MAX));
}

function isUniqueViolation(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if ((cause as { code?: unknown }).code === "23505") return true;
  return false;
}
