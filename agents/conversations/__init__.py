"""conversations: the one authority over a contact's conversations. Others ask and propose."""
