// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, readFile, rm, stat, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NestFastifyApplication } from "@nestjs/platform-fastify";
import { freePort } from "@waggle/clickhouse-embedded/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { testConfig } from "../../../test/test-api.ts";
import { createApp } from "../../app.ts";
import { createLog } from "../../common/log.ts";
import { hashToken, mintToken } from "./token.ts";
import { TokensRepository } from "./tokens.repository.ts";
import { TokensService } from "./tokens.service.ts";

let dataDirectory: string;
let app: NestFastifyApplication;
let url: string;

/** Nothing listens at the ClickHouse address: signing in must not need it. */
async function start(): Promise<void> {
  const config = testConfig({ WAGGLE_API_DATA_DIRECTORY: dataDirectory, WAGGLE_CLICKHOUSE_URL: `http://127.0.0.1:${await freePort()}` });
  app = await createApp(config, createLog("silent"));
  await app.listen(0, "127.0.0.1");
  url = await app.getUrl();
}
const restart = async () => {
  await app.close();
  await start();
};
const tokenFile = async (name: string) => (await readFile(join(dataDirectory, name), "utf8")).trim();
const ask = (path: string, headers: Record<string, string> = {}) => fetch(`${url}/api/v1${path}`, { headers });
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const signIn = (body: unknown) =>
  fetch(`${url}/api/v1/session`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

beforeAll(async () => {
  dataDirectory = await mkdtemp(join(tmpdir(), "waggle-tokens-"));
  await start();
});
afterAll(async () => {
  await app?.close();
  await rm(dataDirectory, { recursive: true, force: true });
});

describe("the token files of the first start", () => {
  it("are readable by their owner only and hold working tokens", async () => {
    for (const name of ["admin-token", "enrolment-token"]) expect((await stat(join(dataDirectory, name))).mode & 0o777).toBe(0o600);
    expect((await ask("/session", bearer(await tokenFile("admin-token")))).status).toBe(200);
    await app.get(TokensService).getEnrolmentOrganisationId(await tokenFile("enrolment-token"));
  });

  it("stay as they are over a restart", async () => {
    const before = [await tokenFile("admin-token"), await tokenFile("enrolment-token")];
    await restart();
    expect([await tokenFile("admin-token"), await tokenFile("enrolment-token")]).toEqual(before);
    expect((await ask("/session", bearer(before[0] as string))).status).toBe(200);
  });

  it("are minted anew when removed, and what they held stops working, sessions included", async () => {
    const [oldAdmin, oldEnrolment] = [await tokenFile("admin-token"), await tokenFile("enrolment-token")];
    const cookie = (await signIn({ token: oldAdmin })).headers.get("set-cookie")?.split(";")[0] as string;
    expect((await ask("/session", { cookie })).status).toBe(200);
    await unlink(join(dataDirectory, "admin-token"));
    await unlink(join(dataDirectory, "enrolment-token"));
    await restart();
    expect((await ask("/session", bearer(await tokenFile("admin-token")))).status).toBe(200);
    expect((await ask("/session", bearer(oldAdmin))).status).toBe(401);
    expect((await ask("/session", { cookie })).status).toBe(401);
    await expect(app.get(TokensService).getEnrolmentOrganisationId(oldEnrolment)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  });

  it("are replaced when they hold something that is not a token of this database", async () => {
    await writeFile(join(dataDirectory, "admin-token"), mintToken("adm"));
    await restart();
    expect((await ask("/session", bearer(await tokenFile("admin-token")))).status).toBe(200);
  });
});

describe("a token", () => {
  it("that is missing, malformed, of another kind or unknown is answered with a 401 problem", async () => {
    const wrong: Record<string, string>[] = [
      {},
      { authorization: "Basic YTpi" },
      bearer("nonsense"),
      bearer(mintToken("adm")),
      bearer(await tokenFile("enrolment-token")),
      { cookie: `waggle_session=${mintToken("ses")}` },
      { cookie: `waggle_session=${await tokenFile("admin-token")}` },
    ];
    for (const headers of wrong) {
      const response = await ask("/session", headers);
      expect(response.status).toBe(401);
      expect(response.headers.get("content-type")).toContain("application/problem+json");
      expect(response.headers.get("www-authenticate")).toContain("Bearer");
      expect(await response.json()).toMatchObject({
        type: "https://waggle.dev/errors/unauthenticated",
        status: 401,
        code: "UNAUTHENTICATED",
        retryable: false,
      });
    }
  });

  it("is never found in the database itself", async () => {
    const token = await tokenFile("admin-token");
    const repository = app.get(TokensRepository);
    expect(await repository.getApiToken(token)).toBeUndefined();
    expect(await repository.getApiToken(hashToken(token))).toBeDefined();
  });
});

describe("a session", () => {
  it("is a cookie that scripts cannot read and other sites cannot send", async () => {
    const response = await signIn({ token: await tokenFile("admin-token") });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ organisation: { name: "default" }, scopes: expect.arrayContaining(["metrics:read"]) });
    const cookie = response.headers.get("set-cookie") ?? "";
    expect(cookie).toMatch(/^waggle_session=wgl_ses_[0-9A-Za-z]{38};/);
    for (const attribute of ["HttpOnly", "SameSite=Strict", "Path=/"]) expect(cookie).toContain(attribute);
    expect(cookie).not.toContain("Secure");
    const secure = await fetch(`${url}/api/v1/session`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-forwarded-proto": "https" },
      body: JSON.stringify({ token: await tokenFile("admin-token") }),
    });
    expect(secure.headers.get("set-cookie")).toContain("Secure");
  });

  it("ends with DELETE, and ending it again is no error", async () => {
    const cookie = (await signIn({ token: await tokenFile("admin-token") })).headers.get("set-cookie")?.split(";")[0] as string;
    const end = () => fetch(`${url}/api/v1/session`, { method: "DELETE", headers: { cookie } });
    expect((await end()).status).toBe(204);
    expect((await ask("/session", { cookie })).status).toBe(401);
    expect((await end()).status).toBe(204);
  });

  it("cannot be used by a page of another site, or of another port, to change anything", async () => {
    const cookie = (await signIn({ token: await tokenFile("admin-token") })).headers.get("set-cookie")?.split(";")[0] as string;
    const post = async (headers: Record<string, string>) => {
      const response = await fetch(`${url}/api/v1/query`, {
        method: "POST",
        headers: { cookie, "content-type": "application/json", ...headers },
        body: "{}",
      });
      return response.status;
    };
    expect(await post({ "sec-fetch-site": "cross-site" })).toBe(403);
    expect(await post({ "sec-fetch-site": "same-site" })).toBe(403);
    // Over plain HTTP to another machine browsers leave the header out.
    expect(await post({ origin: "https://elsewhere.example" })).toBe(403);
    expect(await post({ origin: "null" })).toBe(403);
    expect(await post({ origin: url })).toBe(422);
    expect(await post({ origin: "http://waggle.example:7300", "x-forwarded-host": "waggle.example:7300" })).toBe(422);
    expect(await post({ origin: "http://waggle.example:7300", "sec-fetch-site": "same-origin" })).toBe(422);
  });

  it("is refused for a wrong token, a field too many, a body that is no JSON or none at all, each with a problem", async () => {
    expect((await signIn({ token: mintToken("adm") })).status).toBe(401);
    const extra = await signIn({ token: "x", remember: true });
    expect(extra.status).toBe(422);
    expect(await extra.json()).toMatchObject({ code: "VALIDATION_FAILED", errors: [{ pointer: "/remember" }] });
    for (const init of [
      { headers: { "content-type": "application/json" }, body: "{" },
      { headers: { "content-type": "text/plain" }, body: "x" },
      { headers: { "content-type": "application/x-www-form-urlencoded" }, body: `token=${await tokenFile("admin-token")}` },
      {},
    ]) {
      const response = await fetch(`${url}/api/v1/session`, { method: "POST", ...init });
      expect(response.status).toBe(422);
      expect(await response.json()).toMatchObject({ code: "VALIDATION_FAILED" });
    }
    const large = await fetch(`${url}/api/v1/session`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token: "x".repeat(70_000) }),
    });
    expect(large.status).toBe(413);
    expect(await large.json()).toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
  });
});

describe("every answer", () => {
  it("carries a request id, the caller's own if it is harmless", async () => {
    expect((await ask("/session", { "x-request-id": "abc-123" })).headers.get("x-request-id")).toBe("abc-123");
    const response = await ask("/session", { "x-request-id": 'a"b c' });
    const id = response.headers.get("x-request-id");
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(await response.json()).toMatchObject({ requestId: id, instance: `/requests/${id}` });
  });

  it("allows no other origin", async () => {
    const response = await ask("/session", { origin: "https://elsewhere.example" });
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
  });

  it("to an address that cannot be read is a problem too", async () => {
    const response = await ask("/hosts/%zz");
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({ code: "VALIDATION_FAILED", requestId: response.headers.get("x-request-id") });
    expect((await ask(`/hosts/${"a".repeat(2_000)}`)).headers.get("content-type")).toContain("application/problem+json");
  });

  it("to an address that does not exist is a 404 problem", async () => {
    const response = await ask("/nope");
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ code: "NOT_FOUND" });
  });
});
