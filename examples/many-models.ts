/*
 * One agent, several models, several keys: keys share the load and stand in for each other, a cap keeps to what was bought,
 * a second model answers where the first cannot, and every run knows what it cost.
 *
 *   npx node examples/many-models.ts
 *   curl -s http://127.0.0.1:8080/chat -H 'content-type: application/json' -d '{"message":"Hello"}'
 *
 * It needs no account: its provider is the small server at the end of this file, which refuses one of the two keys and has no
 * model named `large` today.
 */
import { createServer } from 'node:http'
import { agent, serve } from 'parleykit'

const baseURL = await startProvider()

// #region providers
const server = await serve({
  agents: [
    agent({
      name: 'clerk',
      // The second is asked where the first fails before its first word.
      model: ['town/large', 'town/small'],
      instructions: 'Answer in one sentence.',
    }),
  ],
  providers: {
    town: {
      baseURL,
      // Three calls of four go to the main key. One that is refused or limited cools down; the other takes over at once.
      keys: [
        { name: 'main', key: 'town-key-one', weight: 3 },
        { name: 'spare', key: 'town-key-two' },
      ],
      // More calls than these wait for their turn.
      maxConcurrent: 20,
    },
  },
  models: {
    'town/large': { contextWindow: 128_000, price: { input: 2, output: 8, cachedInput: 0.5 } },
    'town/small': { contextWindow: 32_000, accepts: [], price: { input: 0.2, output: 0.8 } },
  },
})
// #endregion

console.log(`listens on ${server.url}`)

/** An OpenAI-compatible server as small as can be, on loopback. */
async function startProvider(): Promise<string> {
  const provider = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (piece: string) => (text += piece))
    request.on('end', () => {
      const { model } = JSON.parse(text) as { model: string }
      const refuse = (status: number, code: string) => {
        response.writeHead(status, { 'content-type': 'application/json' })
        response.end(JSON.stringify({ error: { code, message: 'no' } }))
      }
      if (request.headers.authorization !== 'Bearer town-key-two') return refuse(401, 'invalid_api_key')
      if (model === 'large') return refuse(404, 'model_not_found')
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const content of ['Good ', 'day', '.']) send({ choices: [{ index: 0, delta: { content } }] })
      send({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
      send({ choices: [], usage: { prompt_tokens: 1000, completion_tokens: 500, total_tokens: 1500 } })
      response.end('data: [DONE]\n\n')
    })
    function send(chunk: unknown) {
      response.write(`data: ${JSON.stringify(chunk)}\n\n`)
    }
  })
  const port = await new Promise<number>((resolve) => {
    provider.listen(0, '127.0.0.1', () => {
      const address = provider.address()
      resolve(typeof address === 'object' && address ? address.port : 0)
    })
  })
  // It goes when the program goes.
  provider.unref()
  return `http://127.0.0.1:${port}/v1`
}
