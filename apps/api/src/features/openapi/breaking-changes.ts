// SPDX-License-Identifier: Apache-2.0

/** As much of JSON Schema as the document uses. */
interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: boolean | Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
}
interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema?: Schema;
}
type Content = Readonly<Record<string, { readonly schema?: Schema }>>;
interface Operation {
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required?: boolean; readonly content: Content };
  readonly responses?: Readonly<Record<string, { readonly content?: Content }>>;
}
export interface Document {
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> };
}

/** Who writes what the schema describes: a client that knows the older document (request), or the API (response). */
type Direction = "request" | "response";

/**
 * What in a newer document breaks a client that was written for an older one, in sentences. Adding is fine: operations, optional parameters and fields, values of an answer's
 * enumeration, formats. Taking away, renaming, demanding and narrowing what may be sent, or widening what an answer's field may be, is not.
 */
export function breakingChanges(before: Document, after: Document): string[] {
  const comparison = new Comparison(before, after);
  for (const [path, methods] of Object.entries(before.paths ?? {})) {
    for (const [method, operation] of Object.entries(methods)) {
      const now = after.paths?.[path]?.[method];
      const where = `${method.toUpperCase()} ${path}`;
      if (now === undefined) comparison.problems.push(`${where} is gone`);
      else comparison.operation(where, operation, now);
    }
  }
  return comparison.problems;
}

const lowerBounds = ["minimum", "minLength", "minItems"] as const;
const upperBounds = ["maximum", "maxLength", "maxItems"] as const;

class Comparison {
  readonly problems: string[] = [];
  private readonly seen = new Set<string>();

  constructor(
    private readonly before: Document,
    private readonly after: Document,
  ) {}

  operation(where: string, before: Operation, after: Operation): void {
    for (const parameter of before.parameters ?? []) {
      const now = after.parameters?.find(({ name, in: place }) => name === parameter.name && place === parameter.in);
      if (now === undefined) this.problems.push(`${where}: the parameter ${parameter.name} is gone`);
      else this.schema(`${where}, parameter ${parameter.name}`, parameter.schema, now.schema, "request");
    }
    for (const parameter of after.parameters ?? []) {
      const was = before.parameters?.find(({ name, in: place }) => name === parameter.name && place === parameter.in);
      if (parameter.required === true && was?.required !== true) this.problems.push(`${where}: the parameter ${parameter.name} is required now`);
    }
    if (after.requestBody?.required === true && before.requestBody?.required !== true) this.problems.push(`${where}: a body is required now`);
    this.content(where, "body", before.requestBody?.content, after.requestBody?.content, "request");
    for (const [status, response] of Object.entries(before.responses ?? {})) {
      const now = after.responses?.[status];
      if (now === undefined) {
        if (status.startsWith("2")) this.problems.push(`${where}: the answer ${status} is gone`);
      } else this.content(where, `answer ${status}`, response.content, now.content, "response");
    }
  }

  private content(where: string, what: string, before: Content = {}, after: Content = {}, direction: Direction): void {
    for (const [type, { schema }] of Object.entries(before)) {
      const now = after[type];
      if (now === undefined) this.problems.push(`${where}: the ${what} is no ${type} any more`);
      else this.schema(`${where}, ${what}`, schema, now.schema, direction);
    }
  }

  private schema(where: string, before: Schema | undefined, after: Schema | undefined, direction: Direction): void {
    if (before === undefined || after === undefined) return;
    if (before.$ref !== undefined && before.$ref === after.$ref) {
      // A component is compared once for each direction, and named by itself.
      const key = `${direction} ${before.$ref}`;
      if (this.seen.has(key)) return;
      this.seen.add(key);
      this.schema(before.$ref.replace("#/components/schemas/", ""), resolve(before, this.before), resolve(after, this.after), direction);
      return;
    }
    const [old, now] = [resolve(before, this.before), resolve(after, this.after)];
    const [oldVariants, nowVariants] = [variants(old), variants(now)];
    if (oldVariants.length > 1 || nowVariants.length > 1) this.union(where, oldVariants, nowVariants, direction);
    else this.single(where, old, now, direction);
  }

  /** Every variant that one side may write must be one that the other reads. */
  private union(where: string, before: readonly Schema[], after: readonly Schema[], direction: Direction): void {
    const [written, read] = direction === "request" ? [before, after] : [after, before];
    for (const variant of written) {
      const fits = read.some((other) => {
        const trial = new Comparison(this.before, this.after);
        const [old, now] = direction === "request" ? [variant, other] : [other, variant];
        trial.schema(where, old, now, direction);
        return trial.problems.length === 0;
      });
      // A new kind of object in an answer's list of kinds is an addition, like a new value of an enumeration; null or another type is not.
      const isNewKind =
        direction === "response" &&
        resolve(variant, this.after).type === "object" &&
        before.every((old) => resolve(old, this.before).type === "object");
      if (!fits && !isNewKind)
        this.problems.push(`${where}: ${describe(variant)} ${direction === "request" ? "may not be sent any more" : "may come now"}`);
    }
  }

  private single(where: string, before: Schema, after: Schema, direction: Direction): void {
    const [written, read] = direction === "request" ? [before, after] : [after, before];
    const [wrote, reads] = [typesOf(written), typesOf(read)];
    if (
      reads.length > 0 &&
      (wrote.length === 0 || wrote.some((type) => !reads.includes(type) && !(type === "integer" && reads.includes("number"))))
    ) {
      this.problems.push(`${where}: it was ${typesOf(before).join(" or ") || "anything"} and is ${typesOf(after).join(" or ") || "anything"}`);
      return;
    }
    if (direction === "request") this.narrowed(where, before, after);
    for (const [name, property] of Object.entries(before.properties ?? {})) {
      const now = after.properties?.[name];
      if (now === undefined) {
        if (direction === "response" || after.additionalProperties === false) this.problems.push(`${where}: the field ${name} is gone`);
      } else this.schema(`${where}.${name}`, property, now, direction);
    }
    const [oldRequired, nowRequired] = [before.required ?? [], after.required ?? []];
    if (direction === "request")
      for (const name of nowRequired) if (!oldRequired.includes(name)) this.problems.push(`${where}: the field ${name} is required now`);
    if (direction === "response")
      for (const name of oldRequired)
        if (!nowRequired.includes(name) && after.properties?.[name] !== undefined)
          this.problems.push(`${where}: the field ${name} may be missing now`);
    this.schema(`${where}[]`, before.items, after.items, direction);
    if (typeof before.additionalProperties === "object" && typeof after.additionalProperties === "object")
      this.schema(`${where}.*`, before.additionalProperties, after.additionalProperties, direction);
  }

  private narrowed(where: string, before: Schema, after: Schema): void {
    if (after.enum !== undefined) {
      const gone = (before.enum ?? []).filter((value) => !after.enum?.includes(value));
      if (before.enum === undefined) this.problems.push(`${where}: only ${after.enum.length} values may be sent now`);
      for (const value of gone) this.problems.push(`${where}: the value ${JSON.stringify(value)} is gone`);
    }
    for (const bound of lowerBounds) {
      const limit = after[bound];
      if (limit !== undefined && limit > (before[bound] ?? (bound === "minimum" ? Number.NEGATIVE_INFINITY : 0)))
        this.problems.push(`${where}: ${bound} was ${before[bound] ?? "none"} and is ${limit}`);
    }
    for (const bound of upperBounds) {
      const limit = after[bound];
      if (limit !== undefined && limit < (before[bound] ?? Number.POSITIVE_INFINITY))
        this.problems.push(`${where}: ${bound} was ${before[bound] ?? "none"} and is ${limit}`);
    }
  }
}

function resolve(schema: Schema, document: Document): Schema {
  if (schema.$ref === undefined) return schema;
  const name = schema.$ref.replace("#/components/schemas/", "");
  const found = document.components?.schemas?.[name];
  if (found === undefined) throw new TypeError(`${schema.$ref} is not in the document`);
  return resolve(found, document);
}

function variants(schema: Schema): readonly Schema[] {
  return schema.anyOf ?? schema.oneOf ?? [schema];
}

function typesOf({ type, const: value, enum: values }: Schema): readonly string[] {
  if (type !== undefined) return typeof type === "string" ? [type] : type;
  const known = value !== undefined ? [value] : (values ?? []);
  return [...new Set(known.map((one) => (one === null ? "null" : typeof one)))];
}

function describe(schema: Schema): string {
  return schema.$ref?.replace("#/components/schemas/", "") ?? (typesOf(schema).join(" or ") || "something else");
}
