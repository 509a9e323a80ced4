// SPDX-License-Identifier: Apache-2.0
import { request } from "node:http";
import { BlockList, connect, isIPv4, type Socket } from "node:net";
import type { ApiAddress } from "../config/config.ts";

/** Which proxy gRPC takes to the API, by the environment; null with the reason if none. */
export interface ProxyChoice {
  readonly url: URL | null;
  readonly why: string;
}

/** As @grpc/grpc-js decides (its http_proxy.js): the first of three variables, unless one of two others names the host or a domain above it. */
export function findProxy(api: Pick<ApiAddress, "host">, environment: Readonly<Record<string, string | undefined>>): ProxyChoice {
  const variable = ["grpc_proxy", "https_proxy", "http_proxy"].find((name) => (environment[name] ?? "") !== "");
  if (variable === undefined) return { url: null, why: "none is set" };
  let url: URL;
  try {
    url = new URL(environment[variable] as string);
  } catch {
    return { url: null, why: `${variable} holds no URL and is not used` };
  }
  if (url.protocol !== "http:") return { url: null, why: `${variable} is not http:// and is not used` };
  const exceptions = ["no_grpc_proxy", "no_proxy"].find((name) => (environment[name] ?? "") !== "");
  const entries = exceptions === undefined ? [] : (environment[exceptions] as string).split(",");
  if (entries.some((entry) => isExcepted(api.host, entry))) return { url: null, why: `${exceptions} names ${api.host}` };
  return { url, why: variable };
}

/** gRPC takes entries as they stand, spaces too, and compares ends of names. */
function isExcepted(host: string, entry: string): boolean {
  const [network = "", bits] = entry.split("/");
  if (bits === undefined || !isIPv4(host) || !isIPv4(network) || !/^([12]?\d|3[0-2])$/.test(bits)) return host.endsWith(entry);
  const list = new BlockList();
  list.addSubnet(network, Number(bits));
  return list.check(host);
}

/** A connection to the API itself. Rejects if there is none in time. */
export function connectDirectly({ host, port }: Pick<ApiAddress, "host" | "port">, timeoutMs: number): Promise<Socket> {
  const socket = connect({ host, port });
  const connected = new Promise<Socket>((resolve, reject) => {
    socket.once("connect", () => resolve(socket));
    socket.once("error", reject);
  });
  return settle(connected, timeoutMs, `no answer from ${host}:${port}`).catch((error: unknown) => {
    socket.destroy();
    throw error;
  });
}

/** A connection to the API through the proxy. Rejects, in words, if the proxy does not let it through. */
export function connectByProxy(proxy: URL, { host, port }: Pick<ApiAddress, "host" | "port">, timeoutMs: number): Promise<Socket> {
  const path = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const credentials = proxy.username === "" ? undefined : `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  const headers = credentials === undefined ? {} : { "Proxy-Authorization": `Basic ${Buffer.from(credentials).toString("base64")}` };
  const asked = request({ host: proxy.hostname, port: proxy.port === "" ? 80 : proxy.port, method: "CONNECT", path, headers });
  const connected = new Promise<Socket>((resolve, reject) => {
    asked.once("connect", (response, socket) => {
      if (response.statusCode === 200) return resolve(socket as Socket);
      socket.destroy();
      reject(new Error(`the proxy answered ${response.statusCode} ${response.statusMessage ?? ""}`.trim()));
    });
    asked.once("response", (response) => {
      response.destroy();
      reject(new Error(`the proxy answered ${response.statusCode} to CONNECT`));
    });
    asked.once("error", reject);
    asked.end();
  });
  return settle(connected, timeoutMs, `no answer from the proxy ${proxy.host}`).catch((error: unknown) => {
    asked.destroy();
    throw error;
  });
}

/** What the promise comes to, unless it takes too long: then it rejects with these words. */
export function settle<T>(promise: Promise<T>, timeoutMs: number, words: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${words} within ${timeoutMs / 1_000} s`)), timeoutMs);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
