import { describe, expect, test } from 'vitest'
import { providers, serve } from './provider.ts'

const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const address = 'https://example.com/oslo.png'

const images = [
  {
    what: 'as data',
    part: { type: 'image', url: `data:image/png;base64,${png}` },
    media: { mediaType: 'image/png', base64: png },
  },
  {
    what: 'by address, with its type',
    part: { type: 'image', url: address, media_type: 'image/png' },
    media: { url: address },
  },
  { what: 'by address alone', part: { type: 'image', url: address }, media: { url: address } },
]

describe.for(providers)('the same agent on $name', (provider) => {
  const { differs } = provider

  test.for(images)('sees an image $what', async ({ part, media }) => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ text: 'Oslo.' }, { text: 'Norway.' })
    const content = [{ type: 'text', text: 'Where is this?' }, part]
    const input = [{ type: 'message', role: 'user', content }]
    expect(await run({ input, session_id: 'trip' })).toMatchObject({ status: 'completed', output: 'Oslo.' })
    await run({ input: 'Which country?', session_id: 'trip' })
    expect(standIn.refusals).toEqual([])
    const seen = [
      { from: 'user', type: 'text', text: 'Where is this?' },
      { from: 'user', type: 'image', media },
    ]
    expect(standIn.seen[0]!.content).toEqual(seen)
    expect(standIn.seen[1]!.content.slice(0, 2)).toEqual(seen)
  })

  test('sees an image by an address that does not say its type, or refuses it', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ text: 'Oslo.' })
    const image = { type: 'image', url: 'https://example.com/oslo' }
    const json = await run({ input: [{ type: 'message', role: 'user', content: [image] }] })
    if (differs.takesUntypedAddresses) {
      expect(json).toMatchObject({ status: 'completed', output: 'Oslo.' })
      expect(standIn.seen[0]!.content).toEqual([{ from: 'user', type: 'image', media: { url: image.url } }])
    } else {
      expect(json).toMatchObject({ status: 'failed', error: { code: 'input_not_accepted' } })
      expect(standIn.seen).toEqual([])
    }
    expect(standIn.refusals).toEqual([])
  })

  test('reads a file', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ text: 'A ticket.' })
    const base64 = Buffer.from('%PDF-1.4').toString('base64')
    const file = { type: 'file', url: `data:application/pdf;base64,${base64}`, media_type: 'application/pdf' }
    const input = [{ type: 'message', role: 'user', content: [file] }]
    expect(await run({ input })).toMatchObject({ status: 'completed' })
    expect(standIn.refusals).toEqual([])
    expect(standIn.seen[0]!.content).toEqual([
      { from: 'user', type: 'file', media: { mediaType: 'application/pdf', base64 } },
    ])
  })
})
