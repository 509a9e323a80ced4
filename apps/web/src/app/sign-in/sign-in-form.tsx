// SPDX-License-Identifier: Apache-2.0
"use client";

import { type FormEvent, useEffect, useRef, useState } from "react";
import { Brand } from "@/components/brand";
import { ApiError, signIn } from "@/lib/api/client";
import styles from "./sign-in.module.css";

export function SignInForm({ next }: { next: string | null }) {
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [ready, setReady] = useState(false);
  const field = useRef<HTMLInputElement>(null);

  // Until React listens, a submit would be the browser's own. The field has no name and the form posts, so that even then no token can get into a URL.
  useEffect(() => setReady(true), []);

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    const token = field.current?.value.trim() ?? "";
    if (token === "") {
      setError("Paste the access token first.");
      field.current?.focus();
      return;
    }
    setBusy(true);
    setError(null);
    try {
      const session = await signIn(token);
      // A full load, so that no page keeps what it knew before signing in.
      window.location.assign(next ?? `/o/${encodeURIComponent(session.organisation.id)}/fleet`);
    } catch (cause) {
      setBusy(false);
      setError(explain(cause));
      field.current?.focus();
      field.current?.select();
    }
  }

  return (
    <main className={styles["page"]}>
      <form className={styles["card"]} method="post" onSubmit={submit} noValidate>
        <Brand size={26} />
        <h1 className={styles["title"]}>Sign in</h1>
        <label className={styles["label"]} htmlFor="token">
          Access token
        </label>
        <input
          ref={field}
          id="token"
          type="password"
          className={styles["input"]}
          autoComplete="current-password"
          spellCheck={false}
          aria-invalid={error !== null}
          aria-describedby={error !== null ? "token-error token-help" : "token-help"}
        />
        <p id="token-error" role="alert" className={styles["error"]}>
          {error}
        </p>
        <button type="submit" className={styles["button"]} disabled={busy || !ready}>
          {busy ? "Signing in…" : "Sign in"}
        </button>
        <p id="token-help" className={styles["help"]}>
          <code>./waggle up</code> wrote the token to the file <code>admin-token</code> in its data directory and printed the path when it started.
        </p>
      </form>
    </main>
  );
}

function explain(cause: unknown): string {
  if (!(cause instanceof ApiError)) return "Signing in failed for an unknown reason.";
  const { problem } = cause;
  switch (problem.status) {
    case 401:
    case 403:
      return "This token is not valid. It begins with wgl_adm_ and may have been replaced or revoked.";
    case 422:
      return problem.errors?.[0]?.detail ?? problem.detail;
    case 429:
      return "Too many attempts. Wait a minute and try again.";
    default:
      return `${problem.title}. ${problem.detail}`;
  }
}
