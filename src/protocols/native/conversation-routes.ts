import type { HttpApp } from '../../http/app.ts'
import { readJson } from '../../http/body.ts'
import { sendJson } from '../../http/respond.ts'
import { parseInput } from '../../http/validation.ts'
import type { ProtocolDeps } from '../protocol.ts'
import { encodeConversation, encodeItem, encodeList } from './encode.ts'
import {
  createConversationSchema,
  listConversationsSchema,
  listItemsSchema,
  updateConversationSchema,
} from './schema.ts'

export function conversationRoutes(app: HttpApp, { conversations }: ProtocolDeps): void {
  app.post('/v1/conversations', async (c) => {
    const { value } = await readJson(c, { optional: true })
    const input = parseInput(createConversationSchema, value ?? {}, 'body')
    return sendJson(c, { body: encodeConversation(await conversations.create(c.get('principal'), input)) })
  })

  app.get('/v1/conversations', async (c) => {
    const page = parseInput(listConversationsSchema, c.req.query(), 'query')
    const { data, has_more } = await conversations.list(c.get('principal'), page)
    return sendJson(c, { body: encodeList({ data: data.map(encodeConversation), has_more }) })
  })

  app.get('/v1/conversations/:id', async (c) => {
    const conversation = await conversations.get(c.get('principal'), c.req.param('id'))
    return sendJson(c, { body: encodeConversation(conversation) })
  })

  app.post('/v1/conversations/:id', async (c) => {
    const { value } = await readJson(c)
    const { metadata } = parseInput(updateConversationSchema, value, 'body')
    const conversation = await conversations.update(c.get('principal'), c.req.param('id'), metadata)
    return sendJson(c, { body: encodeConversation(conversation) })
  })

  app.delete('/v1/conversations/:id', async (c) => {
    const id = c.req.param('id')
    await conversations.delete(c.get('principal'), id)
    return sendJson(c, { body: { id, object: 'conversation.deleted', deleted: true } })
  })

  app.get('/v1/conversations/:id/items', async (c) => {
    const page = parseInput(listItemsSchema, c.req.query(), 'query')
    const { data, has_more } = await conversations.items(c.get('principal'), c.req.param('id'), page)
    return sendJson(c, { body: encodeList({ data: data.map(encodeItem), has_more }) })
  })
}
