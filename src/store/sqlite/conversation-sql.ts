/**
 * Whether a conversation counts as there; its one parameter is the time. It ends when it was idle for its `ttl_ms`, but not
 * while a run on it is open: one that holds it (running, suspended, or about to go on) or one that waits.
 */
export const liveConversation = `(expires_at IS NULL OR expires_at > ? OR holder_run_id IS NOT NULL OR EXISTS
  (SELECT 1 FROM runs WHERE runs.conversation_id = conversations.id AND runs.status = 'queued'))`
