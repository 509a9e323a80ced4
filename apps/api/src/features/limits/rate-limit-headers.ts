// SPDX-License-Identifier: Apache-2.0
import type { FastifyReply } from "fastify";

/** A quota and what is left of it, as draft-ietf-httpapi-ratelimit-headers has it. */
export interface RateLimit {
  readonly name: string;
  readonly quota: number;
  readonly windowSeconds: number;
  /** What is counted where it is not requests. */
  readonly unit?: string;
  readonly left: number;
  readonly fullInSeconds: number;
}

const POLICY = "ratelimit-policy";
const LIMIT = "ratelimit";

/** Adds quotas to the headers `RateLimit-Policy` and `RateLimit`; one of the same name is renewed. */
export function setRateLimits(reply: FastifyReply, limits: readonly RateLimit[]): void {
  let policies = itemsOf(reply.getHeader(POLICY));
  let states = itemsOf(reply.getHeader(LIMIT));
  for (const { name, quota, windowSeconds, unit, left, fullInSeconds } of limits) {
    const isIt = (item: string): boolean => item.startsWith(`"${name}";`);
    const reset = Number.isFinite(fullInSeconds) ? `;t=${Math.ceil(fullInSeconds)}` : "";
    policies = [
      ...policies.filter((item) => !isIt(item)),
      `"${name}";q=${Math.floor(quota)};w=${windowSeconds}${unit === undefined ? "" : `;qu="${unit}"`}`,
    ];
    states = [...states.filter((item) => !isIt(item)), `"${name}";r=${Math.floor(left)}${reset}`];
  }
  reply.header(POLICY, policies.join(", ")).header(LIMIT, states.join(", "));
}

function itemsOf(header: number | string | string[] | undefined): string[] {
  return typeof header === "string" && header !== "" ? header.split(", ") : [];
}
