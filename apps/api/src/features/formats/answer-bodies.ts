// SPDX-License-Identifier: Apache-2.0
import { Injectable } from "@nestjs/common";

/** An answer as it goes out. */
export interface Body {
  readonly bytes: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

interface Bodies {
  readonly asOfMs: number;
  readonly forms: Map<string, Promise<Body>>;
  bytes: number;
}

/** Of all answers together; bytes of what was not sent longest are let go first. */
const BYTES_MAX = 64 * 1_024 * 1_024;

/** Bytes of answers that several callers get: each form of each is made once. Whoever hands such answers out says which they are, and which no longer. */
@Injectable()
export class AnswerBodies {
  /** Tests lower it. */
  bytesMax = BYTES_MAX;
  /** The one not sent longest is first. */
  private readonly answers = new Map<object, Bodies>();
  private bytes = 0;

  /** Bytes that are held. */
  get size(): number {
    return this.bytes;
  }

  /**
   * From now on the answer's forms are kept; nobody changes it.
   * @param asOfMs when what it says was so, by `performance.now()`
   */
  share(answer: object, asOfMs: number): void {
    this.answers.set(answer, { asOfMs, forms: new Map(), bytes: 0 });
  }

  letGo(answer: object): void {
    const bodies = this.answers.get(answer);
    if (bodies === undefined) return;
    this.answers.delete(answer);
    this.bytes -= bodies.bytes;
  }

  /** How old it is; undefined: it is one caller's alone. */
  ageMs(answer: unknown): number | undefined {
    const bodies = this.answers.get(answer as object);
    return bodies === undefined ? undefined : performance.now() - bodies.asOfMs;
  }

  /**
   * @param form names what the bytes depend on besides the answer
   * @returns undefined: it is one caller's alone
   */
  get(answer: unknown, form: string, make: () => Promise<Body>): Promise<Body> | undefined {
    const bodies = this.answers.get(answer as object);
    if (bodies === undefined) return undefined;
    this.answers.delete(answer as object);
    this.answers.set(answer as object, bodies);
    const known = bodies.forms.get(form);
    if (known !== undefined) return known;
    const body = make();
    bodies.forms.set(form, body);
    body.then(
      ({ bytes }) => {
        if (this.answers.get(answer as object) !== bodies || bodies.forms.get(form) !== body) return;
        bodies.bytes += bytes.length;
        this.bytes += bytes.length;
        this.makeRoom();
      },
      () => bodies.forms.delete(form),
    );
    return body;
  }

  private makeRoom(): void {
    for (const oldest of this.answers.values()) {
      if (this.bytes <= this.bytesMax) break;
      oldest.forms.clear();
      this.bytes -= oldest.bytes;
      oldest.bytes = 0;
    }
  }
}
