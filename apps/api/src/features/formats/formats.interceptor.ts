// SPDX-License-Identifier: Apache-2.0
import { type CallHandler, type ExecutionContext, Inject, Injectable, type NestInterceptor, SetMetadata } from "@nestjs/common";
import { Reflector } from "@nestjs/core";
import type { FastifyReply, FastifyRequest } from "fastify";
import { mergeMap, type Observable } from "rxjs";
import { toArrow } from "./arrow.ts";
import { toCsv } from "./csv.ts";
import { type FlatFormat, mediaTypes, negotiateFormat } from "./media-type.ts";
import { toNdjson } from "./ndjson.ts";
import type { Table } from "./table.ts";

const TO_TABLE = "waggle:table";

/** The route's answer can also be had as rows: NDJSON, CSV or Arrow, as `Accept` says. */
// biome-ignore lint/suspicious/noExplicitAny: each route has its own answer
export const Formats = (toTable: (answer: any) => Table) => SetMetadata(TO_TABLE, toTable);

/** Beyond this servers and proxies refuse headers. */
const SUMMARY_BYTES_MAX = 4_096;

/** Answers routes that are marked `@Formats(…)` in the format the client asks for. It goes around all other interceptors: they see the answer, not its bytes. */
@Injectable()
export class FormatsInterceptor implements NestInterceptor {
  constructor(@Inject(Reflector) private readonly reflector: Reflector) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const toTable = this.reflector.getAllAndOverride<((answer: unknown) => Table) | undefined>(TO_TABLE, [context.getHandler(), context.getClass()]);
    if (toTable === undefined) return next.handle();
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    // What nobody can read is refused before it is worked for.
    const format = negotiateFormat(context.switchToHttp().getRequest<FastifyRequest>().headers.accept);
    reply.header("vary", "accept, authorization, cookie");
    if (format === "json") return next.handle();
    return next.handle().pipe(
      mergeMap(async (answer) => {
        const table = toTable(answer);
        reply.header("content-type", format === "csv" ? "text/csv; charset=utf-8; header=present" : mediaTypes[format]);
        reply.header("waggle-meta", headerValue(table.summary));
        return encode(format, table);
      }),
    );
  }
}

async function encode(format: FlatFormat, table: Table): Promise<string | Buffer> {
  if (format === "csv") return toCsv(table);
  if (format === "ndjson") return toNdjson(table);
  const bytes = await toArrow(table);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** JSON that fits into a header: ASCII, and no longer than is safe. */
function headerValue(summary: Readonly<Record<string, unknown>>): string {
  const ascii = (value: unknown): string =>
    JSON.stringify(value).replace(/[\u007f-\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const whole = ascii(summary);
  if (whole.length <= SUMMARY_BYTES_MAX) return whole;
  const short = Object.fromEntries(Object.entries(summary).filter(([, value]) => ascii(value).length <= SUMMARY_BYTES_MAX / 8));
  return ascii({ ...short, shortened: true }).slice(0, SUMMARY_BYTES_MAX);
}
