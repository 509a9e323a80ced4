// SPDX-License-Identifier: Apache-2.0
import { type CallHandler, createParamDecorator, type ExecutionContext, Inject, Injectable, type NestInterceptor, SetMetadata } from "@nestjs/common";
import { Reflector } from "@nestjs/core";
import type { FastifyReply, FastifyRequest } from "fastify";
import { mergeMap, type Observable } from "rxjs";
import { COMPRESS_FROM_BYTES, compressed, encodingFor } from "../../common/compression.ts";
import { AnswerBodies, type Body } from "./answer-bodies.ts";
import { toArrow } from "./arrow.ts";
import { toCsv } from "./csv.ts";
import { type EncodedAnswer, type Format, formats, mediaTypes, negotiateFormat, type OwnFormats } from "./media-type.ts";
import { toNdjson } from "./ndjson.ts";
import type { Table } from "./table.ts";

const FORMS = "waggle:forms";
const CHOSEN = Symbol("format");

interface Forms {
  // biome-ignore lint/suspicious/noExplicitAny: each route has its own answer
  readonly toTable: (answer: any) => Table;
  readonly own: OwnFormats;
}

/**
 * The route's answer can also be had as rows: NDJSON, CSV or Arrow, as `Accept` says.
 * @param own what it can be had as besides; then the route may have a parameter `format` too, which goes before `Accept`
 */
export const Formats = (toTable: Forms["toTable"], own: OwnFormats = {}) => SetMetadata(FORMS, { toTable, own } satisfies Forms);

/** The name of the format that the answer will have: for routes whose answer depends on it. */
export const AskedFormat = createParamDecorator((_: unknown, context: ExecutionContext): string => {
  return context.switchToHttp().getRequest<FastifyRequest & { [CHOSEN]?: string }>()[CHOSEN] ?? "json";
});

/** Beyond this servers and proxies refuse headers. */
const SUMMARY_BYTES_MAX = 4_096;

/**
 * Answers routes that are marked `@Formats(…)` in the format the client asks for. It goes around all other interceptors: they see the answer, not its bytes.
 * An answer that several get is written and compressed once for all who want the same form.
 */
@Injectable()
export class FormatsInterceptor implements NestInterceptor {
  constructor(
    @Inject(Reflector) private readonly reflector: Reflector,
    @Inject(AnswerBodies) private readonly bodies: AnswerBodies,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const forms = this.reflector.getAllAndOverride<Forms | undefined>(FORMS, [context.getHandler(), context.getClass()]);
    if (forms === undefined) return next.handle();
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    const request = context.switchToHttp().getRequest<FastifyRequest & { [CHOSEN]?: string }>();
    // What nobody can read is refused before it is worked for.
    const format = namedFormat(request, forms.own) ?? negotiateFormat(request.headers.accept, forms.own);
    request[CHOSEN] = format;
    reply.header("vary", VARY);
    const encoding = encodingFor(request.headers);
    return next.handle().pipe(
      mergeMap(async (answer) => {
        const shared = await this.bodies.get(answer, `${format} ${encoding ?? "identity"}`, async () => {
          const { bytes, headers } = await toBody(format, answer, forms);
          if (encoding === undefined || bytes.length < COMPRESS_FROM_BYTES) return { bytes, headers };
          return {
            bytes: await compressed(bytes, encoding),
            headers: { ...headers, "content-encoding": encoding, vary: `${VARY}, accept-encoding` },
          };
        });
        // Fastify writes it, and compresses it, too.
        if (shared === undefined && format === "json") return answer;
        const { bytes, headers } = shared ?? (await toBody(format, answer, forms));
        reply.headers(headers);
        return bytes;
      }),
    );
  }
}

const VARY = "accept, authorization, cookie";

/** The answer in a format, not compressed. */
async function toBody(format: string, answer: unknown, forms: Forms): Promise<Body> {
  if (format === "json") return { bytes: Buffer.from(JSON.stringify(answer)), headers: { "content-type": "application/json; charset=utf-8" } };
  const { body, summary, fileName } = await encode(format, answer, forms);
  return {
    bytes: typeof body === "string" ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength),
    headers: {
      "content-type": contentType(format, forms.own),
      "waggle-meta": headerValue(summary),
      ...(fileName === undefined ? {} : { "content-disposition": `attachment; filename="${fileName}"` }),
    },
  };
}

/** What `?format=` names, where the route has formats of its own; what is none is the route's to refuse. */
function namedFormat({ query, method }: FastifyRequest, own: OwnFormats): string | undefined {
  if (Object.keys(own).length === 0 || method === "POST") return undefined;
  const { format } = query as { format?: unknown };
  const names = [...formats, ...Object.keys(own)];
  return typeof format === "string" && names.includes(format) ? format : undefined;
}

function contentType(format: string, own: OwnFormats): string {
  if (format === "csv") return "text/csv; charset=utf-8; header=present";
  const type = own[format]?.mediaType ?? mediaTypes[format as Format];
  return type.startsWith("text/") ? `${type}; charset=utf-8` : type;
}

async function encode(format: string, answer: unknown, { toTable, own }: Forms): Promise<EncodedAnswer> {
  const form = own[format];
  if (form !== undefined) return form.encode(answer);
  const table = toTable(answer);
  const body = format === "csv" ? toCsv(table) : format === "ndjson" ? toNdjson(table) : await toArrow(table);
  return { body, summary: table.summary };
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
