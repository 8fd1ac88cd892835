import type { StreamPump } from './stream-pump.ts'

const encoder = new TextEncoder()

/** The same stream as a web `Response`: events are taken when its reader pulls, and cancelling it means the client left. */
export function createWebSink(options: { pump: StreamPump; headers: Record<string, string> }): Response {
  const { pump, headers } = options
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        pump.start({
          write(text) {
            controller.enqueue(encoder.encode(text))
            // Nothing is kept here: the next pull asks for more.
            return false
          },
          close: () => controller.close(),
        })
      },
      pull: () => pump.run(),
      cancel: () => pump.leave(),
    },
    { highWaterMark: 0 },
  )
  return new Response(body, { headers })
}
