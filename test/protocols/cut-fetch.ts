/** A `fetch` for an `EventSource` whose first connection a test can break, as a network would. */
export interface CutFetch {
  fetch(url: string | URL, init?: RequestInit): Promise<Response>
  /** Breaks the first connection. */
  cut(): void
  /** `Last-Event-ID` of each request so far. */
  readonly asked: (string | null)[]
  /** Status of each answer so far. */
  readonly statuses: number[]
}

export function createCutFetch(): CutFetch {
  const asked: (string | null)[] = []
  const statuses: number[] = []
  const broken = Promise.withResolvers<void>()
  return {
    asked,
    statuses,
    cut: () => broken.resolve(),
    async fetch(url, init) {
      asked.push(new Headers(init?.headers).get('last-event-id'))
      const first = asked.length === 1
      const response = await fetch(url, init)
      statuses.push(response.status)
      if (!first || !response.body) return response
      const reader = response.body.getReader()
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          // An EventSource waits 3 seconds before it comes back unless it is told otherwise.
          controller.enqueue(new TextEncoder().encode('retry: 5\n'))
          void broken.promise.then(async () => {
            controller.error(new TypeError('terminated'))
            await reader.cancel()
          })
        },
        async pull(controller) {
          const { done, value } = await reader.read()
          if (done) controller.close()
          else controller.enqueue(value)
        },
      })
      return new Response(body, { status: response.status, headers: response.headers })
    },
  }
}
