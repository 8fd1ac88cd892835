import { expect, test } from 'vitest'
import { startExample } from './example-process.ts'

const pixel =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

test('the clerk is shown pictures by address and as data, and refuses files', async () => {
  const example = await startExample('examples/pictures.ts')
  try {
    const send = (...parts: object[]) =>
      example.request('/v1/agents/clerk/runs', {
        input: [{ type: 'message', role: 'user', content: [{ type: 'text', text: 'Look.' }, ...parts] }],
      })
    const shown = await send(
      { type: 'image', url: pixel },
      { type: 'image', url: 'https://example.com/cat.png' },
    )
    expect(await shown.json()).toMatchObject({ output: 'I was shown 2 picture(s).' })
    const refused = await send({
      type: 'file',
      url: 'https://example.com/a.pdf',
      media_type: 'application/pdf',
    })
    expect([refused.status, await refused.json()]).toMatchObject([
      400,
      { code: 'input_not_accepted', errors: [{ path: ['body', 'input', 0, 'content', 1] }] },
    ])
  } finally {
    expect(await example.stop()).toBe(0)
  }
})
