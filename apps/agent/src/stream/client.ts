// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { type ClientDuplexStream, type ClientOptions, credentials, Metadata } from "@grpc/grpc-js";
import { IngestServiceClient, IngestServiceService, type StreamSnapshotsResponse } from "@waggle/proto";
import type { ApiAddress } from "../config/config.ts";
import { TlsCredentials } from "./tls-credentials.ts";

export type SnapshotStream = ClientDuplexStream<Uint8Array, StreamSnapshotsResponse>;

/** Answers are small; a large one is a broken server, and must not become the host's memory. */
const responseBytesMax = 1024 * 1024;

const options: ClientOptions = {
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.max_receive_message_length": responseBytesMax,
  // The limit on what is sent is the API's, told in its Config.
  "grpc.max_send_message_length": -1,
  // Waiting between attempts is the stream's own business, with jitter; the channel shall not add its own.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 500,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_channelz": 0,
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
};

/** Of clients that speak TLS: they know why it fails. */
const encrypted = new WeakMap<IngestServiceClient, TlsCredentials>();

/** One connection to the API. Throws an Error that names the CA file if that cannot be read. */
export function createIngestClient(api: ApiAddress, caFile: string | undefined): IngestServiceClient {
  const host = api.host.includes(":") ? `[${api.host}]` : api.host;
  if (!api.encrypted) return new IngestServiceClient(`${host}:${api.port}`, credentials.createInsecure(), options);
  const secured = tlsCredentials(api, caFile);
  const client = new IngestServiceClient(`${host}:${api.port}`, secured, options);
  encrypted.set(client, secured);
  return client;
}

function tlsCredentials(api: ApiAddress, caFile: string | undefined): TlsCredentials {
  try {
    return new TlsCredentials(api.host, caFile === undefined ? undefined : readFileSync(caFile));
  } catch (error) {
    throw new Error(`the CA file ${caFile} cannot be used (${(error as Error).message})`, { cause: error });
  }
}

/** Waits until the connection stands, or throws an Error that says to where it does not and, of TLS, why. */
export function waitForConnection(client: IngestServiceClient, api: ApiAddress, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    client.waitForReady(Date.now() + timeoutMs, (error) => {
      if (error === undefined) return resolve();
      const problem = encrypted.get(client)?.problem;
      reject(new Error(`no connection to ${api.url} within ${timeoutMs / 1000} s${problem === undefined ? "" : `: ${problem}`}`));
    });
  });
}

export function bearer(token: string): Metadata {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

/** Opens the snapshot stream with requests that are encoded already: spooled frames go out as the bytes they were stored as. */
export function openSnapshotStream(client: IngestServiceClient, credential: string): SnapshotStream {
  const { path, responseDeserialize } = IngestServiceService.streamSnapshots;
  return client.makeBidiStreamRequest(
    path,
    (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    responseDeserialize,
    bearer(credential),
  );
}
