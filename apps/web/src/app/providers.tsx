// SPDX-License-Identifier: Apache-2.0
"use client";

import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { NuqsAdapter } from "nuqs/adapters/next/app";
import { type ReactNode, useState } from "react";
import { ApiError } from "@/lib/api/client";

/** Problems that another try can't solve. */
const PERMANENT = new Set([400, 401, 403, 404, 413, 422]);

function toSignInWhenExpired(error: unknown): void {
  if (!(error instanceof ApiError) || error.problem.status !== 401 || window.location.pathname === "/sign-in") return;
  const next = window.location.pathname + window.location.search;
  window.location.assign(`/sign-in?next=${encodeURIComponent(next)}`);
}

function makeClient(): QueryClient {
  return new QueryClient({
    queryCache: new QueryCache({ onError: toSignInWhenExpired }),
    defaultOptions: {
      queries: {
        retry: (failures, error) => failures < 1 && !(error instanceof ApiError && PERMANENT.has(error.problem.status)),
        retryDelay: 1000,
        refetchOnWindowFocus: false,
        // A live page makes a new key every 10 s; what is no longer shown is of no use.
        gcTime: 30_000,
        staleTime: 60_000,
      },
    },
  });
}

export function Providers({ children, nonce }: { children: ReactNode; nonce: string | undefined }) {
  const [client] = useState(makeClient);
  return (
    <CSPProvider nonce={nonce}>
      <QueryClientProvider client={client}>
        <NuqsAdapter>{children}</NuqsAdapter>
      </QueryClientProvider>
    </CSPProvider>
  );
}
