// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials, Metadata, status } from "@grpc/grpc-js";
import type { NestFastifyApplication } from "@nestjs/platform-fastify";
import { freePort } from "@waggle/clickhouse-embedded/testing";
import { IngestServiceClient } from "@waggle/proto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { testConfig } from "../../../test/test-api.ts";
import { createApp } from "../../app.ts";
import { createLog } from "../../common/log.ts";
import { IngestServer } from "./ingest.grpc.ts";

const hasOpenssl = (() => {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

describe.skipIf(!hasOpenssl)("the ingest server with a certificate", () => {
  let directory: string;
  let app: NestFastifyApplication;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "waggle-tls-"));
    const [keyFile, certificateFile] = [join(directory, "key.pem"), join(directory, "certificate.pem")];
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
        ...subject,
        "-keyout",
        keyFile,
        "-out",
        certificateFile,
      ],
      {
        stdio: "ignore",
      },
    );
    const config = testConfig({
      WAGGLE_API_DATA_DIRECTORY: join(directory, "api"),
      WAGGLE_API_GRPC_TLS_CERTIFICATE_FILE: certificateFile,
      WAGGLE_API_GRPC_TLS_KEY_FILE: keyFile,
      WAGGLE_CLICKHOUSE_URL: `http://127.0.0.1:${await freePort()}`,
    });
    app = await createApp(config, createLog("silent"));
  });
  afterAll(async () => {
    await app?.close();
    await rm(directory, { recursive: true, force: true });
  });

  it("answers a client that trusts it, and no client that speaks in the clear", async () => {
    const { port } = app.get(IngestServer);
    const ask = async (client: IngestServiceClient) => {
      const code = await new Promise<number | undefined>((resolve) => {
        client.enrolHost({ machineKey: "", facts: undefined }, new Metadata(), { deadline: Date.now() + 5_000 }, (error) => resolve(error?.code));
      });
      client.close();
      return code;
    };
    const secure = credentials.createSsl(await readFile(join(directory, "certificate.pem")));
    expect(await ask(new IngestServiceClient(`127.0.0.1:${port}`, secure, { "grpc.ssl_target_name_override": "localhost" }))).toBe(
      status.UNAUTHENTICATED,
    );
    expect(await ask(new IngestServiceClient(`127.0.0.1:${port}`, credentials.createInsecure()))).not.toBe(status.UNAUTHENTICATED);
  });
});
