// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eq, sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasPostgres, startTestPostgres, type TestPostgres } from "../../test/test-postgres.ts";
import { HostStatusRepository } from "../features/ingest/host-status.repository.ts";
import { KnownHosts, LARGE_FLEET_HOSTS } from "../features/query/known-hosts.ts";
import { hashToken, mintToken } from "../features/tokens/token.ts";
import { TokensRepository } from "../features/tokens/tokens.repository.ts";
import { Database } from "./database.ts";
import { hosts } from "./schema.ts";

/** Rows that both engines must treat alike: what the repositories rely on. */
function behavesAs(open: () => Promise<Database>): void {
  let database: Database;
  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database?.close());

  it("answers", async () => {
    expect(await database.problem()).toBeUndefined();
  });

  it("finds a token by its hash until it is revoked, and notes its use", async () => {
    const repository = new TokensRepository(database);
    const organisation = await repository.createOrganisation("test");
    const hash = hashToken(mintToken("adm"));
    await repository.createApiToken(organisation.id, "name", hash, ["metrics:read"]);
    const row = await repository.getApiToken(hash);
    expect(row).toMatchObject({ organisationId: organisation.id, organisationName: "test", scopes: ["metrics:read"] });
    await repository.touchApiToken(row?.id as string);
    await repository.revokeApiTokens(organisation.id, "name");
    expect(await repository.getApiToken(hash)).toBeUndefined();
  });

  it("makes one first organisation however many ask at once", async () => {
    const repository = new TokensRepository(database);
    const ids = await Promise.all(Array.from({ length: 5 }, async () => (await repository.getOrCreateFirstOrganisation("default")).id));
    expect(new Set(ids).size).toBe(1);
  });

  it("writes many hosts' statuses at once and never moves the newest window back", async () => {
    const organisation = await new TokensRepository(database).createOrganisation("test");
    const ids = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"];
    for (const id of ids) await database.db.insert(hosts).values({ id, organisationId: organisation.id, machineKey: id, name: id });
    const status = (hostId: string, lastWindowEndMs: number | null) => ({
      hostId,
      lastSeenMs: 1_800_000_000_123,
      lastWindowEndMs,
      statusMs: null,
      clockOffsetMs: null,
      spoolFrames: 7,
      spoolBytes: null,
      refusedFrames: null,
      droppedFrames: null,
      agentStartedMs: null,
      coarsenedWindows: null,
      windowMs: null,
      settingsRevision: null,
      settingsProblems: null,
    });
    const repository = new HostStatusRepository(database);
    await repository.save(ids.map((id) => status(id, 1_800_000_000_000)));
    await repository.save([status(ids[0] as string, 1_700_000_000_000), status(ids[1] as string, null)]);
    const rows = await database.db.select({ end: hosts.lastWindowEndAt, seen: hosts.lastSeenAt, frames: hosts.spoolFrames }).from(hosts);
    expect(rows).toEqual(ids.map(() => ({ end: new Date(1_800_000_000_000), seen: new Date(1_800_000_000_123), frames: 7 })));
  });

  it("lists many hosts as they are now, and as the same objects while nothing but their last window changes", async () => {
    const organisation = await new TokensRepository(database).createOrganisation("test");
    const name = (index: number): string => `node-${String(index).padStart(4, "0")}`;
    const made = Array.from({ length: LARGE_FLEET_HOSTS }, (_, index) => ({
      id: randomUUID(),
      organisationId: organisation.id,
      machineKey: randomUUID(),
      name: name(index),
      tags: { env: index % 2 === 0 ? "prod" : "test" },
    }));
    await database.db.insert(hosts).values(made);
    const known = new KnownHosts(database, { list: 0, lastWindows: 0 });
    const list = () => known.list(organisation.id);
    const change = (values: Partial<typeof hosts.$inferInsert>) =>
      database.db
        .update(hosts)
        .set(values)
        .where(eq(hosts.id, made[7]?.id as string));
    await list();
    const first = await list();
    expect(first.map((host) => host.name)).toEqual(made.map((host) => host.name));
    expect(first[7]).toMatchObject({ tags: { env: "test" }, lastWindowEndMs: null, retiredAtMs: null });
    await change({ lastWindowEndAt: new Date(1_800_000_000_123) });
    expect(await list()).toBe(first);
    expect(first[7]?.lastWindowEndMs).toBe(1_800_000_000_123);
    for (const values of [{ tags: { env: "dev" } }, { retiredAt: new Date(1_800_000_000_000) }, { kernel: "6.1" }, { name: "a-name" }]) {
      await change(values);
      const changed = await list();
      expect(changed).not.toBe(first);
      // Who has not changed is the same object, and asked again nothing has.
      expect(changed[9]).toBe(first[9]);
      expect(await list()).toBe(changed);
      expect(changed.find(({ id }) => id === made[7]?.id)).toMatchObject({
        ...("name" in values ? values : {}),
        ...("tags" in values ? values : {}),
        ...("retiredAt" in values ? { retiredAtMs: 1_800_000_000_000 } : {}),
        ...("kernel" in values ? { attributes: { kernel: "6.1" } } : {}),
        lastWindowEndMs: 1_800_000_000_123,
      });
    }
    expect((await list())[0]?.name).toBe("a-name");
    const { id, organisationId } = { id: randomUUID(), organisationId: organisation.id };
    await database.db.insert(hosts).values({ id, organisationId, machineKey: id, name: "new" });
    expect((await list()).find((host) => host.id === id)).toMatchObject({ name: "new", lastWindowEndMs: null });
    await database.db.delete(hosts).where(eq(hosts.id, id));
    await database.db.delete(hosts).where(eq(hosts.id, made[8]?.id as string));
    expect(await list()).toHaveLength(LARGE_FLEET_HOSTS - 1);
  });
}

describe("the embedded Postgres", () => {
  behavesAs(() => Database.open(undefined, undefined));

  it("keeps what was committed when its process is killed, and a second process is turned away while it runs", async () => {
    const directory = mkdtempSync(join(tmpdir(), "waggle-pglite-"));
    try {
      const script = `
        import { Database } from ${JSON.stringify(join(import.meta.dirname, "database.ts"))};
        process.title = "waggle-api";
        const database = await Database.open(undefined, ${JSON.stringify(directory)});
        await database.db.execute("INSERT INTO organisations (id, name) VALUES ('00000000-0000-4000-8000-000000000003', 'kept')");
        console.log("committed");
        setInterval(() => {}, 1000);`;
      const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
      await new Promise<void>((resolve, reject) => {
        child.stdout.once("data", () => resolve());
        child.once("exit", (code) => reject(new Error(`exited with ${code}`)));
      });
      await expect(Database.open(undefined, directory)).rejects.toThrow(`pid ${child.pid}`);
      const exited = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await exited;
      const database = await Database.open(undefined, directory);
      const { rows } = (await database.db.execute(sql`SELECT name FROM organisations`)) as unknown as { rows: { name: string }[] };
      expect(rows).toEqual([{ name: "kept" }]);
      await database.close();
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});

describe.skipIf(!hasPostgres)("a Postgres server", () => {
  let server: TestPostgres;

  beforeAll(async () => {
    server = await startTestPostgres();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  // Two nodes that start at once on an empty database, while the server itself is still starting.
  behavesAs(async () => {
    const [first, second] = await Promise.all([Database.open(server.url, undefined), Database.open(server.url, undefined)]);
    await second.close();
    return first;
  });

  it("lists a host that was changed by a transaction which was under way at the last look", async () => {
    const [database, other] = [await Database.open(server.url, undefined), await Database.open(server.url, undefined)];
    try {
      const organisation = await new TokensRepository(database).createOrganisation("test");
      const made = Array.from({ length: LARGE_FLEET_HOSTS }, (_, index) => ({ id: randomUUID(), machineKey: randomUUID(), name: `node-${index}` }));
      await database.db.insert(hosts).values(made.map((host) => ({ ...host, organisationId: organisation.id })));
      const known = new KnownHosts(database, { list: 0, lastWindows: 0 });
      const kernels = async () => new Set((await known.list(organisation.id)).map(({ attributes }) => attributes.kernel));
      const change = (db: Database["db"], at: number) =>
        db
          .update(hosts)
          .set({ kernel: `6.${at}` })
          .where(eq(hosts.id, made[at]?.id as string));
      expect(await kernels()).toEqual(new Set([""]));
      await other.db.transaction(async (earlier) => {
        await change(earlier as unknown as Database["db"], 1);
        // Begins later and ends earlier.
        await change(database.db, 2);
        expect(await kernels()).toEqual(new Set(["", "6.2"]));
      });
      expect(await kernels()).toEqual(new Set(["", "6.1", "6.2"]));
    } finally {
      await database.close();
      await other.close();
    }
  });

  it("that does not know the database is reported without the URL", async () => {
    const wrong = server.url.replace("/postgres", "/hunter2");
    await expect(Database.open(wrong, undefined)).rejects.toThrow(/^Postgres at WAGGLE_DATABASE_URL cannot be used \(3D000\)$/);
  });
});
