/*
 * Parley inside a program of your own, with a provider of your own name:
 *
 *   GATEWAY_URL=http://127.0.0.1:4000/v1 npx node examples/embedded.ts
 */
// #region create
import { serve, type HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import { agent, createParley } from 'parleykit'

const parley = await createParley({
  agents: [agent({ name: 'guide', model: 'gateway/small', instructions: 'Answer in one sentence.' })],
  providers: {
    gateway: {
      baseURL: process.env['GATEWAY_URL'] ?? 'http://127.0.0.1:4000/v1',
      headers: { 'x-team': 'docs' },
      keys: [{ name: 'first', key: process.env['GATEWAY_KEY'] ?? 'none' }],
    },
  },
  logLevel: 'warn',
})

const app = new Hono<{ Bindings: HttpBindings }>()
app.get('/', (c) => c.text('My own page.'))
// Its bindings are Node's request and response: with them streams go straight to the socket.
app.all('*', (c) => parley.fetch(c.req.raw, c.env))
// #endregion

const { port } = parley.settings
const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port }, (address) =>
  console.log(`listens on http://127.0.0.1:${address.port}`),
)

// #region close
process.once('SIGTERM', () => {
  void parley.close().finally(() => server.close(() => process.exit(0)))
})
// #endregion
