Mail client: invitations are shown with title, time in your zone, place, organiser and attendees, and found by a search.
